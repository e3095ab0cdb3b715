// zone: native
#include <string.h>

#include "oci/one_shot.h"
#include "supervisor/bootstrap.h"
#include "supervisor/check.h"

int main(int argc, char** argv) {
  if (argc >= 2 && strcmp(argv[1], "supervise") == 0) return caisson::RunSupervise(argc, argv);
  if (argc >= 2 && strcmp(argv[1], "check") == 0) return caisson::RunCheck(argc, argv);
  if (argc >= 2 && strcmp(argv[1], "launch") == 0) return caisson::RunOneShot(argc, argv);
  return 64;  // It is started by the library, never by hand.
}
