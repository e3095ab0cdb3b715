// zone: test
// Needs: root; or run with --rootless as anybody who may make a user namespace.
#include <string.h>

#include "check.h"
#include "sandbox.h"

using namespace caisson;
using protocol::Tag;

namespace {

test::Sandbox* box;

void PrintsFromItsOwnNamespaces() {
  const auto outcome =
      box->Launch(box->Body({"sh", "-c", "echo $$; hostname; id -u; echo $HOME; pwd"}));
  if (outcome.failure) {
    fprintf(stderr, "step %d errno %s index %u\n", static_cast<int>(outcome.failure->step),
            strerror(outcome.failure->error), outcome.failure->index);
  }
  CHECK(!outcome.failure);
  CHECK_EQ(outcome.out, "1\nboxed\n0\n/root\n/\n");
  CHECK_EQ(outcome.code, 0);
}

}  // namespace

int main(int argc, char** argv) {
  test::Sandbox sandbox(argc > 1 && strcmp(argv[1], "--rootless") == 0);
  box = &sandbox;
  RUN(PrintsFromItsOwnNamespaces);
}
