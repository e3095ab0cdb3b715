// zone: native
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "supervisor/channel.h"
#include "supervisor/group_parents.h"
#include "supervisor/hands.h"
#include "supervisor/launch_request.h"
#include "supervisor/pools.h"
#include "supervisor/task.h"

namespace caisson {

// The containers and execs of a runtime. tasks_start.cc brings them up to their exec, tasks_end.cc
// from there to their last answer; tasks_oom.cc tells who was killed for want of memory.
class Tasks {
 public:
  Tasks(Loop& loop, Jobs& jobs, Pools& pools, GroupParents& parents, Answers& answers,
        const launch::Host& host, bool with_groups)
      : loop_(loop),
        jobs_(jobs),
        pools_(pools),
        parents_(parents),
        answers_(answers),
        host_(host),
        with_groups_(with_groups) {}

  void Launch(Request request);
  void Exec(Request request);
  [[nodiscard]] Result<> Signal(uint32_t target, int signal);
  [[nodiscard]] Result<> Kill(uint32_t target);
  // Answers `request`.
  void SetFrozen(uint32_t request, uint32_t target, launch::Freezing wanted);
  [[nodiscard]] Result<> Resize(uint32_t target, uint16_t columns, uint16_t rows);

  // Kills everything; `gone` when the last one was answered for.
  void KillAll(std::function<void()> gone);

  [[nodiscard]] bool Has(uint32_t id) const { return tasks_.contains(id); }
  [[nodiscard]] bool Claims(pid_t pid) const;
  [[nodiscard]] size_t size() const { return tasks_.size(); }

 private:
  using State = Task::State;
  using Kind = Task::Kind;

  [[nodiscard]] Task* Find(uint32_t id);
  // starting
  // Bits of Task::controls that groups of who may mount need.
  [[nodiscard]] uint64_t HierarchiesFor(bool may_mount) const;
  [[nodiscard]] Result<> FindPeers(Task* task, const LaunchRequest& request);
  [[nodiscard]] bool TakePeers(const Task& task, Message& message, size_t* missing);
  void MakeParent(Task* task, uint32_t sources);
  void OpenSources(Task* task, uint32_t sources);
  void SubmitStart(Task* task);
  bool PrepareContainer(Task* task, Message& message);
  bool PrepareExec(Task* task, Message& message);
  void OnCloned(uint32_t id, Message reply);
  [[nodiscard]] Result<> MakeLogPipes(Task* task);
  void OnReport(Task* task);
  enum class Reported { kNothing, kFailure, kEnd };
  Reported ReadReport(Task* task);
  void OnExecuted(Task* task);
  [[nodiscard]] Result<UniqueFd> TakeTerminal(Task* task);
  // while it runs
  void WatchOom(Task* task);
  void LookForOom(uint32_t id, int looks);
  void CountOomKills(Task* task);
  void TellOomKills(Task* container, uint64_t kills);
  // ending
  void FailStart(Task* task, const Failure& failure, std::string detail);
  void OnPidfd(Task* task);
  void OnTimeout(uint32_t id);
  void Thaw(const Task& task);
  void SendKill(Task* task);
  void KillGroup(Task* task);
  [[nodiscard]] bool HasExecs(uint32_t container) const;
  void KillRest(Task* task);
  void Finish(Task* task);
  void Answer(Task* task);
  void LeaveFolder(Task* task);
  void SendExited(const Task& task);
  // What a task leaves behind.
  struct Remains {
    UniqueFd mount_namespace;
    UniqueFd rootfs;
    uint32_t list = 0;
    std::string group;
    std::string limits;
    uint64_t controls = 0;
    std::string folder;
    Fate group_fate = Fate::kRemove;
    Fate folder_fate = Fate::kLeave;
    int attempts = 0;
  };
  static constexpr int kTidyAttempts = 3;
  void PutAway(std::unique_ptr<Task> task);
  void SubmitTidy(std::shared_ptr<Remains> remains);

  Loop& loop_;
  Jobs& jobs_;
  Pools& pools_;
  GroupParents& parents_;
  Answers& answers_;
  const launch::Host& host_;
  bool with_groups_;
  bool ending_ = false;
  std::function<void()> gone_;
  size_t starting_ = 0;
  std::unordered_map<uint32_t, std::unique_ptr<Task>> tasks_;
};

}  // namespace caisson
