// zone: test
// Needs: a static busybox; root or user namespaces. Each step of each table fails once: the failure
// is told, and nothing is left. The child zone is compiled into this program with its test hook.
#define CAISSON_TESTING 1
#include "child/child.cc"
#include "launch/sandbox.h"

namespace caisson::test {
namespace {

Sandbox* box;

std::string Expected(Step step) {
  return Describe({.step = step, .error = EIO, .index = 0});
}

void FailsAtEachStepOfALaunch() {
  for (int position = 0; position < child::LaunchStepCount(); ++position) {
    child::fault_position = position;
    const auto outcome = box->Launch(box->Body({"true"}));
    CHECK(outcome.failure.has_value());
    CHECK_EQ(Describe(*outcome.failure), Expected(child::LaunchStepAt(position)));
    CHECK_EQ(outcome.code, 127);
  }
  child::fault_position = -1;
  CHECK_EQ(box->Launch(box->Body({"true"})).code, 0);
}

void FailsAtEachStepOfAJoin() {
  const auto ended = box->Launch(box->Body({"sleep", "100"}), {}, [](const auto& container) {
    for (int position = 0; position < child::JoinStepCount(); ++position) {
      child::fault_position = position;
      const auto outcome = box->Join(box->ExecBody({"true"}), container.pidfd.get());
      CHECK(outcome.failure.has_value());
      CHECK_EQ(Describe(*outcome.failure), Expected(child::JoinStepAt(position)));
      CHECK_EQ(outcome.code, 127);
    }
    child::fault_position = -1;
    const auto rest = box->Join(box->ExecBody({"ps"}), container.pidfd.get());
    CHECK_EQ(std::count(rest.out.begin(), rest.out.end(), '\n'), 4);  // title, sleep, subreaper, ps
    CHECK_OK(syscall(424, container.pidfd.get(), SIGKILL, nullptr, 0));
  });
  CHECK_EQ(ended.signal, SIGKILL);
}

void All(Sandbox& sandbox) {
  box = &sandbox;
  RUN(FailsAtEachStepOfALaunch);
  if (CanCloneDetached()) {
    sandbox.ready = Sandbox::Ready::kNamespace;
    RUN(FailsAtEachStepOfALaunch);
  }
  RUN(FailsAtEachStepOfAJoin);
}

}  // namespace
}  // namespace caisson::test

int main() {
  return caisson::test::InBothModes(caisson::test::All);
}
