// zone: test
// Needs: a static busybox; root or user namespaces. A further process in a running container.
#include "launch/sandbox.h"

namespace caisson::test {
namespace {

Sandbox* box;

// Runs `test` while a container sleeps.
void WhileSleeping(const std::function<void(const launch::Started&)>& test,
                   const std::function<void(FieldWriter&)>& more = {}) {
  auto body = box->Body({"sleep", "100"});
  if (more) more(body);
  const auto outcome = box->Launch(body, {}, [&test](const launch::Started& started) {
    test(started);
    CHECK_OK(syscall(424, started.pidfd.get(), SIGKILL, nullptr, 0));
  });
  if (outcome.failure) CHECK_EQ(Describe(*outcome.failure), "");
  CHECK_EQ(outcome.signal, SIGKILL);
}

Outcome JoinTo(const launch::Started& container, const FieldWriter& body,
               const std::function<void(const launch::Started&)>& while_running = {}) {
  return box->Join(body, container.pidfd.get(), nullptr, while_running);
}

void JoinsEveryNamespace() {
  WhileSleeping([](const launch::Started& container) {
    const auto outcome = JoinTo(
        container, box->ExecBody({"sh", "-c",
                                  "for n in ipc mnt net pid uts cgroup; do [ $(readlink "
                                  "/proc/self/ns/$n) = $(readlink /proc/1/ns/$n) ] || echo $n; "
                                  "done; hostname; ls /proc/self/fd | tr '\\n' ' '; readlink "
                                  "/proc/self/root; cat /proc/1/comm"}));
    if (outcome.failure) CHECK_EQ(Describe(*outcome.failure), "");
    CHECK_EQ(outcome.out, "boxed\n0 1 2 3 /\nsleep\n");
    CHECK_EQ(outcome.code, 0);
  });
}

void IsWhoTheImageSays() {
  WhileSleeping([](const launch::Started& container) {
    auto body = box->ExecBody({"sh", "-c",
                               "id -u; echo $HOME; pwd; grep -E 'Cap(Eff|Inh|Bnd)' "
                               "/proc/self/status | tr -d '\\t'"});
    body.U64(Tag::kSetHome, 1).String(Tag::kCwd, "/etc");
    if (!box->host.rootless) body.String(Tag::kUser, "alice");
    const auto outcome = JoinTo(container, body);
    if (outcome.failure) CHECK_EQ(Describe(*outcome.failure), "");
    CHECK_EQ(outcome.out, box->host.rootless
                              ? "0\n/root\n/etc\nCapInh:0000000000000000\nCapEff:00000000a80425fb\n"
                                "CapBnd:00000000a80425fb\n"
                              : "1000\n/home/alice\n/etc\nCapInh:0000000000000000\n"
                                "CapEff:0000000000000000\nCapBnd:00000000a80425fb\n");
  });
}

void ForwardsHowItEnded() {
  WhileSleeping([](const launch::Started& container) {
    CHECK_EQ(JoinTo(container, box->ExecBody({"sh", "-c", "exit 7"})).code, 7);
    for (const int signal : {SIGKILL, SIGTERM, SIGSEGV, SIGUSR1}) {
      const auto outcome =
          JoinTo(container, box->ExecBody({"sh", "-c", "kill -" + std::to_string(signal) + " $$"}));
      CHECK_EQ(outcome.signal, signal);
    }
  });
}

void PassesSignalsOn() {
  WhileSleeping([](const launch::Started& container) {
    const auto body = box->ExecBody(
        {"sh", "-c", "trap 'exit 5' USR1; echo up >/tmp/up; while :; do sleep 0.02; done"});
    const auto outcome = JoinTo(container, body, [&container](const launch::Started& exec) {
      for (int look = 0; look < 200; ++look) {
        if (JoinTo(container, box->ExecBody({"cat", "/tmp/up"})).out == "up\n") break;
        usleep(10'000);
      }
      CHECK_OK(syscall(424, exec.pidfd.get(), SIGUSR1, nullptr, 0));
    });
    CHECK_EQ(outcome.code, 5);
  });
}

void KillsEveryDescendant() {
  WhileSleeping([](const launch::Started& container) {
    // Daemons of the double-fork kind, which nobody but a subreaper finds again.
    auto body = box->ExecBody({"sh", "-c",
                               "(sh -c 'setsid sleep 1000 & setsid sleep 1001 &' &) ; echo up; "
                               "trap '' TERM; sleep 1002; sleep 1003"});
    const auto outcome = JoinTo(container, body, [&container](const launch::Started& exec) {
      for (int look = 0; look < 200; ++look) {
        const auto count =
            JoinTo(container, box->ExecBody({"sh", "-c", "ps | grep -c '[s]leep 100[0-9]'"}));
        // The shell that asks is one itself.
        if (atoi(count.out.c_str()) >= 4) break;
        usleep(10'000);
      }
      CHECK_OK(syscall(424, exec.pidfd.get(), kKillTreeSignal, nullptr, 0));
    });
    CHECK_EQ(outcome.signal, SIGKILL);
    CHECK_EQ(outcome.out, "up\n");
    CHECK_EQ(JoinTo(container, box->ExecBody({"sh", "-c", "ps | grep -c '[s]leep 100[0-9]'"})).out,
             "0\n");
  });
}

void LeavesTheContainerAloneWhenItEnds() {
  WhileSleeping([](const launch::Started& container) {
    CHECK_EQ(JoinTo(container, box->ExecBody({"sh", "-c", "sleep 500 >/dev/null 2>&1 &"})).code, 0);
    CHECK_EQ(JoinTo(container, box->ExecBody({"sh", "-c", "ps | grep -c '[s]leep 500'"})).out,
             "1\n");
  });
}

void SaysWhatFailed() {
  WhileSleeping([](const launch::Started& container) {
    const auto failure = [&container](const FieldWriter& body) {
      const auto outcome = JoinTo(container, body);
      return outcome.failure ? Describe(*outcome.failure) : "none";
    };
    CHECK_EQ(failure(box->ExecBody({"absent"})), "FindExecutable ENOENT 0");
    auto body = box->ExecBody({"true"});
    body.String(Tag::kCwd, "/nowhere");
    CHECK_EQ(failure(body), "Workdir ENOENT 0");
    body = box->ExecBody({"true"});
    body.String(Tag::kUser, "stranger");
    CHECK_EQ(failure(body), "User ENOENT 0");
    body = box->ExecBody({"true"});
    body.String(Tag::kCwd, "/proc/self/fd/3");
    CHECK(failure(body).starts_with("Workdir "));
  });
}

void RefusesTheDead() {
  UniqueFd pidfd;
  (void)box->Launch(box->Body({"true"}), {}, [&pidfd](const launch::Started& started) {
    pidfd.reset(fcntl(started.pidfd.get(), F_DUPFD_CLOEXEC, 3));
  });
  const auto outcome = box->Join(box->ExecBody({"true"}), pidfd.get());
  CHECK(outcome.failure.has_value());
  CHECK_EQ(Describe(*outcome.failure), "NotRunning ESRCH 0");
}

void HidesBehindMasks() {
  // A masked /proc is not fully visible any more: the subreaper needs a procfs from before.
  WhileSleeping(
      [](const launch::Started& container) {
        CHECK_EQ(JoinTo(container, box->ExecBody({"sh", "-c", "exit 3"})).code, 3);
      },
      [](FieldWriter& body) { body.String(Tag::kMaskedPath, "/proc/kcore"); });
}

void LoadsAFilter() {
  WhileSleeping([](const launch::Started& container) {
    for (const uint64_t no_new_privileges : {0, 1}) {
      auto body = box->ExecBody({"sh", "-c",
                                 "grep Seccomp: /proc/self/status | tr -d '\\t'; unshare -U true "
                                 "2>&1 | grep -c 'not permitted'"});
      FieldWriter seccomp;
      seccomp.U64(Tag::kSeccompPolicy, 1);
      body.Group(Tag::kSeccomp, seccomp).U64(Tag::kNoNewPrivileges, no_new_privileges);
      const auto outcome = JoinTo(container, body);
      if (outcome.failure) CHECK_EQ(Describe(*outcome.failure), "");
      CHECK_EQ(outcome.out, "Seccomp:2\n1\n");
    }
  });
}

void All(Sandbox& sandbox) {
  box = &sandbox;
  RUN(JoinsEveryNamespace);
  RUN(IsWhoTheImageSays);
  RUN(ForwardsHowItEnded);
  RUN(PassesSignalsOn);
  RUN(KillsEveryDescendant);
  RUN(LeavesTheContainerAloneWhenItEnds);
  RUN(SaysWhatFailed);
  RUN(RefusesTheDead);
  RUN(HidesBehindMasks);
  RUN(LoadsAFilter);
}

}  // namespace
}  // namespace caisson::test

int main() {
  return caisson::test::InBothModes(caisson::test::All);
}
