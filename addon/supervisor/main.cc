// zone: native
#include <string.h>

#include "base/guard.h"
#include "oci/one_shot.h"
#include "supervisor/bootstrap.h"
#include "supervisor/check.h"

#ifdef CAISSON_UNGUARDED
// No test needs another build for another guard: it changes the last byte.
extern "C" const volatile char caisson_guard_taken_out[20] = "CAISSON-GUARD-OUT: ";
#endif

int main(int argc, char** argv) {
  if (argc >= 2 && strcmp(argv[1], "supervise") == 0) return caisson::RunSupervise(argc, argv);
  if (argc >= 2 && strcmp(argv[1], "check") == 0) return caisson::RunCheck(argc, argv);
  if (argc >= 2 && strcmp(argv[1], "launch") == 0) return caisson::RunOneShot(argc, argv);
  return 64;  // It is started by the library, never by hand.
}
