// zone: native
#include "supervisor/hands.h"

#include <sys/prctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "supervisor/children.h"
#include "supervisor/debug.h"
#include "supervisor/kernel.h"
#include "supervisor/worker.h"

namespace caisson {

namespace {

// With so much put off one hand does that, even while starts wait: they gain more from what is
// prepared and recycled than from a second hand that makes everything anew.
constexpr size_t kManyPutOff = 4;
// Above this tidying comes before preparing: what it gives back need not be made.
constexpr size_t kManyToTidy = 4;
constexpr uint64_t kRetryForkMs = 100;

bool IsPutOff(Urgency urgency) {
  return urgency >= Urgency::kPrepare;
}

}  // namespace

Result<> Hands::Fork(Hand* hand) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
    return FailErrno(Step::kHands);
  }
  UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  const int buffer = 512 * 1024;
  (void)setsockopt(ours.get(), SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);

  const pid_t supervisor = sys::GetPid();
  hand->pid = kernel::Fork(0, &hand->pidfd);
  if (hand->pid < 0) return FailErrno(Step::kHands);
  if (hand->pid == 0) {
    // Where no pid namespace ends with the supervisor.
    if (host_pids_ && (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != supervisor)) {
      _exit(1);
    }
    if (hand->who == Who::kOuter && host_namespace_ >= 0 &&
        sys::SetNs(host_namespace_, CLONE_NEWNS) != 0) {
      _exit(1);
    }
    std::vector<int> keep = {theirs.get()};
    if (hand->who == Who::kOuter) {
      keep.insert(keep.end(), {context_.run_parent_fd, context_.run_folder_fd});
    } else {
      keep.insert(keep.end(), {context_.host.store.get(), context_.host.proc.get()});
      if (context_.host.device_program) keep.push_back(context_.host.device_program.get());
      for (const auto& hierarchy : context_.host.hierarchies)
        keep.push_back(hierarchy.folder.get());
    }
    const int socket = theirs.release();
    CloseOthers(std::move(keep));
    RunHand(context_, hand->who == Who::kOuter ? HandPlace::kOuter : HandPlace::kInner, socket);
  }
  hand->socket = std::move(ours);
  hand->reader = {};
  return {};
}

Result<> Hands::StartOuter() {
  auto hand = std::make_unique<Hand>();
  hand->who = Who::kOuter;
  if (auto forked = Fork(hand.get()); !forked) return forked;
  hands_.push_back(std::move(hand));
  return {};
}

Result<> Hands::StartInner(int count) {
  for (int i = 0; i < count; ++i) {
    auto hand = std::make_unique<Hand>();
    if (auto forked = Fork(hand.get()); !forked) return forked;
    hands_.push_back(std::move(hand));
  }
  return {};
}

void Hands::Watch() {
  for (auto& hand : hands_) WatchHand(hand.get());
}

void Hands::WatchHand(Hand* hand) {
  hand->pidfd_token =
      loop_.Watch(hand->pidfd.get(), EPOLLIN, [this, hand](uint32_t) { OnDeath(hand); });
  hand->socket_token =
      loop_.Watch(hand->socket.get(), EPOLLIN, [this, hand](uint32_t) { OnAnswer(hand); });
}

std::vector<int> Hands::pidfds() const {
  std::vector<int> found;
  for (const auto& hand : hands_) found.push_back(hand->pidfd.get());
  return found;
}

void Hands::Submit(Job job) {
  if (dismissed_ && job.who == Who::kInner) return;
  Queue& to = job.who == Who::kOuter ? outer_ : queue(job.urgency);
  to.push_back(std::move(job));
  Pump();
}

// The queue whose first job this idle hand takes, or null.
Hands::Queue* Hands::Choose(const Hand& hand) {
  if (hand.who == Who::kOuter) return outer_.empty() ? nullptr : &outer_;

  const size_t put_off = queue(Urgency::kPrepare).size() + queue(Urgency::kTidy).size();
  bool other_puts_away = false;
  for (const auto& other : hands_) {
    if (other.get() == &hand || other->who != Who::kInner) continue;
    if (other->busy && IsPutOff(other->job.urgency)) other_puts_away = true;
  }
  if (!queue(Urgency::kKill).empty()) return &queue(Urgency::kKill);
  const bool start = !queue(Urgency::kStart).empty() && !scan_wanted_;
  // Nothing may be put off for ever.
  if (start && !(put_off > kManyPutOff && !other_puts_away)) return &queue(Urgency::kStart);
  if (put_off == 0 || other_puts_away) return nullptr;  // Stays free for the next start.
  Queue& prepare = queue(Urgency::kPrepare);
  Queue& tidy = queue(Urgency::kTidy);
  return prepare.empty() || tidy.size() > kManyToTidy ? &tidy : &prepare;
}

void Hands::Pump() {
  if (pumping_) return;  // From inside `prepare` or `done`: the outer call goes on.
  pumping_ = true;
  for (bool gave = true; gave;) {
    gave = false;
    for (auto& hand : hands_) {
      if (hand->busy || !hand->socket) continue;
      Queue* from = Choose(*hand);
      if (from == nullptr) continue;
      Give(hand.get(), from);
      gave = true;
    }
  }
  pumping_ = false;
}

void Hands::Give(Hand* hand, Queue* from) {
  Job job = std::move(from->front());
  from->pop_front();
  std::shared_ptr<Message> message = std::move(job.ready);
  if (!message) {
    message = std::make_shared<Message>();
    if (!job.prepare(*message)) return;
  }
  const int error = SendMessage(hand->socket.get(), *message, false);
  if (error == 0) {
    hand->busy = true;
    hand->job = std::move(job);
    return;
  }
  Debug("hand %d takes no job: errno %d", hand->pid, error);
  if (error == EPIPE || error == ECONNRESET) {
    // Dead, which its pidfd is about to tell. Nothing has happened to the job: another takes it.
    loop_.Forget(&hand->socket_token);
    hand->socket.reset();
    job.ready = std::move(message);
    from->push_front(std::move(job));
    return;
  }
  Message reply;
  reply.failure = {Step::kHandLost, 0, error, 0};
  if (job.done) job.done(std::move(reply));
}

bool Hands::TakeAnswer(Hand* hand) {
  for (;;) {
    const auto state = hand->reader.Receive(hand->socket.get(), false);
    if (state == MessageReader::State::kEnded) {
      // It is dying, or out of its mind. Either way its pidfd tells when it is gone.
      loop_.Forget(&hand->socket_token);
      (void)sys::PidfdSendSignal(hand->pidfd.get(), SIGKILL);
      return false;
    }
    if (state == MessageReader::State::kPartial) return false;
    Message reply = hand->reader.Take();
    Job job = std::move(hand->job);
    hand->job = {};
    hand->busy = false;
    if (job.done) job.done(std::move(reply));
    return true;
  }
}

void Hands::OnAnswer(Hand* hand) {
  if (!TakeAnswer(hand)) return;
  MaybeScan();
  Pump();
}

void Hands::OnDeath(Hand* hand) {
  // It may have answered before it died.
  if (hand->socket_token != 0) (void)TakeAnswer(hand);
  siginfo_t info;
  rusage usage;
  (void)kernel::WaitPidfd(hand->pidfd.get(), &info, WEXITED | WNOHANG, &usage);
  Debug("hand %d died, status %d", hand->pid, info.si_status);
  if (hand->busy) {
    scan_wanted_ = scan_wanted_ || hand->job.makes_process;
    lost_.push_back(std::move(hand->job));
    hand->job = {};
    hand->busy = false;
  }
  loop_.Forget(&hand->pidfd_token);
  loop_.Forget(&hand->socket_token);
  hand->pidfd.reset();
  hand->socket.reset();
  if (dismissed_ && hand->who == Who::kInner) return MaybeDismissed();
  Replace(hand);
  MaybeScan();
  Pump();
}

void Hands::DismissInner(std::function<void()> gone) {
  dismissed_ = true;
  gone_ = std::move(gone);
  for (Queue& waiting : inner_) {
    for (Job& job : waiting) lost_.push_back(std::move(job));
    waiting.clear();
  }
  for (auto& hand : hands_) {
    if (hand->who != Who::kInner || !hand->pidfd) continue;
    loop_.Forget(&hand->socket_token);
    (void)sys::PidfdSendSignal(hand->pidfd.get(), SIGKILL);
  }
  MaybeDismissed();
}

void Hands::MaybeDismissed() {
  for (const auto& hand : hands_) {
    if (hand->who == Who::kInner && hand->pidfd) return;
  }
  AnswerLost();
  if (gone_) std::exchange(gone_, nullptr)();
}

void Hands::Replace(Hand* hand) {
  if (dismissed_ && hand->who == Who::kInner) return;
  if (Fork(hand)) {
    WatchHand(hand);
    return;
  }
  hand->socket.reset();
  // Too many processes, no memory: it may be better soon.
  (void)loop_.After(kRetryForkMs, [this, hand] {
    Replace(hand);
    Pump();
  });
}

void Hands::MaybeScan() {
  if (scan_wanted_) {
    for (const auto& hand : hands_) {
      if (hand->busy && hand->job.makes_process) return;  // Its children are not known yet.
    }
    scan_wanted_ = false;
    Scan();
  }
  if (strays_.empty()) AnswerLost();
}

void Hands::Scan() {
  for (const pid_t pid : ChildrenOf(sys::GetPid(), context_.host.proc.get())) {
    const auto is = [pid](const auto& one) { return one.pid == pid; };
    if (claimed_(pid) || std::ranges::any_of(strays_, is) ||
        std::ranges::any_of(hands_, [pid](const auto& hand) { return hand->pid == pid; })) {
      continue;
    }
    UniqueFd pidfd(sys::PidfdOpen(pid));
    if (!pidfd) continue;
    Debug("stray child %d", pid);
    (void)sys::PidfdSendSignal(pidfd.get(), SIGKILL);
    const int fd = pidfd.get();
    strays_.push_back({std::move(pidfd), pid});
    strays_.back().token = loop_.Watch(fd, EPOLLIN, [this, pid](uint32_t) { OnStrayDeath(pid); });
  }
}

void Hands::OnStrayDeath(pid_t pid) {
  const auto stray =
      std::ranges::find_if(strays_, [pid](const Stray& one) { return one.pid == pid; });
  if (stray == strays_.end()) return;
  siginfo_t info;
  rusage usage;
  (void)kernel::WaitPidfd(stray->pidfd.get(), &info, WEXITED | WNOHANG, &usage);
  loop_.Forget(&stray->token);
  strays_.erase(stray);
  MaybeScan();
  Pump();
}

void Hands::AnswerLost() {
  std::vector<Job> lost;
  lost.swap(lost_);
  for (Job& job : lost) {
    Message reply;
    reply.failure = {Step::kHandLost, 0, ECHILD, 0};
    if (job.done) job.done(std::move(reply));
  }
}

}  // namespace caisson
