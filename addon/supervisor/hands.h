// zone: native
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "supervisor/hand.h"
#include "supervisor/job.h"
#include "supervisor/loop.h"

namespace caisson {

// Takes jobs. Apart from Hands, so that requests can be tested without processes.
class Jobs {
 public:
  virtual void Submit(Job job) = 0;

 protected:
  ~Jobs() = default;
};

// The loop's side of the hands: who does what next, and a new hand for one that has died.
//
//   inner hands (2)  in the slim mount namespace; of one urgency first come, first served; one of
//   them
//                    is kept free of preparing and tidying, so that no start waits for that
//   outer hand (1)   stayed in the host's mount namespace
//
// When a hand dies over a job, what it may have cloned is a child of ours that nobody knows: no
// further processes are made until the other hands have told what they made; then every child that
// nobody claims is killed, and only when all are gone is the job answered (kHandLost).
class Hands final : public Jobs {
 public:
  // `claimed` says whether a pid is somebody's.
  Hands(Loop& loop, const HandContext& context, std::function<bool(pid_t)> claimed)
      : loop_(loop), context_(context), claimed_(std::move(claimed)) {}

  // The outer hand is forked before the slim root is entered, the inner ones after.
  [[nodiscard]] Result<> StartOuter();
  [[nodiscard]] Result<> StartInner(int count);
  // Where a new outer hand goes back to.
  void set_host_namespace(int fd) { host_namespace_ = fd; }
  // No pid namespace ends with us: each hand sees to its own end. Before any is forked.
  void set_host_pids(bool host_pids) { host_pids_ = host_pids; }
  // From here on the loop runs.
  void Watch();

  void Submit(Job job) override;
  // The end: ends the inner hands, whatever they are at. What they had, and what waited for them,
  // is answered as lost; then `gone`. Jobs for them that come later are dropped.
  void DismissInner(std::function<void()> gone);
  [[nodiscard]] std::vector<int> pidfds() const;

 private:
  struct Hand {
    Who who = Who::kInner;
    pid_t pid = -1;
    UniqueFd pidfd;
    UniqueFd socket;
    Loop::Token pidfd_token = 0;
    Loop::Token socket_token = 0;
    MessageReader reader;
    bool busy = false;
    Job job;
  };
  struct Stray {
    UniqueFd pidfd;
    pid_t pid;
    Loop::Token token = 0;
  };
  using Queue = std::deque<Job>;

  [[nodiscard]] Queue& queue(Urgency urgency) { return inner_[static_cast<size_t>(urgency)]; }
  [[nodiscard]] Result<> Fork(Hand* hand);
  void WatchHand(Hand* hand);
  void Pump();
  Queue* Choose(const Hand& hand);
  void Give(Hand* hand, Queue* from);
  void OnAnswer(Hand* hand);
  bool TakeAnswer(Hand* hand);
  void OnDeath(Hand* hand);
  void Replace(Hand* hand);
  void MaybeScan();
  void Scan();
  void OnStrayDeath(pid_t pid);
  void AnswerLost();
  void MaybeDismissed();

  Loop& loop_;
  const HandContext& context_;
  std::function<bool(pid_t)> claimed_;
  int host_namespace_ = -1;
  bool host_pids_ = false;
  std::vector<std::unique_ptr<Hand>> hands_;
  Queue inner_[static_cast<size_t>(Urgency::kCount)];
  Queue outer_;
  bool scan_wanted_ = false;
  bool pumping_ = false;
  bool dismissed_ = false;
  std::function<void()> gone_;
  std::vector<Job> lost_;
  std::vector<Stray> strays_;
};

}  // namespace caisson
