// zone: native
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "launch/kit.h"
#include "plan/shared_namespaces.h"
#include "supervisor/body.h"

// What the loop asks of its hands: one message there, one back. Both ends are the same executable,
// so the form is nobody else's business and has no version.
namespace caisson {

enum class JobKind : uint32_t {
  // inner hands
  kLaunch,   // body: Launch. A container's process
  kExec,     // body: Exec. A process in a container
  kKill,     // kGroup
  kFreeze,   // kGroup
  kThaw,     // kGroup
  kKit,      // launch::Kit
  kSlot,     // kFolder, kLayer…: scratch folder with its overlay, and a namespace with that
  kGroup,    // kGroup: makes it
  kTidy,     // descriptors to close; kGroup + kGroupFate; kFolder + kFolderFate. kRootfs: the
             // folder's overlay, which comes back with a new namespace, or is closed
  kRemove,   // kFolder
  kRotate,   // kFolder (the log's path), kCount: renames, opens the next
  kImport,   // kFolder (of the copy); source: starts a worker
  kUnpack,   // body: Unpack. kFolder (of the layer for now); source, feed: starts a worker
  kPublish,  // kFolder, kTarget: what a worker has made gets its name
  kSettle,   // kTarget, kLayer…
  kSync,     // starts a worker
  kExport,   // kFolder (a layer); source (to write to): starts a worker
  kDiff,     // body: Diff. source (to write to), folder (of the host): starts a worker
  // outer hand
  kGroupParent,  // kPath: a parent of groups in every hierarchy, and the runtime's own there.
                 // Answer: kControls that are missing there
  kSources,      // body: Launch. Opens the sources of its binds and overlays
  kOpenFolder,   // kPath: a host folder, for an import
  kSweep,        // what dead runtimes left
  kUndo,         // everything of this runtime
};

// Numbers and texts of a job; lists by repetition.
enum class JobTag : uint16_t {
  kGroup,
  kFolder,
  kLayer,
  kTarget,
  kPath,
  kCount,
  kGroupFate,
  kGroupState,
  kFolderFate,
  kNamespaces,   // kExec: CLONE_NEW* to enter
  kControls,     // what the container's group was made for
  kParentGroup,  // of an exec: its container's group
};

enum class Fate : uint64_t {
  kLeave = 0,
  kRecycle = 1,  // make it as new, or say that it cannot be
  kRemove = 2,
  kIfEmpty = 3,  // a group: remove it if nothing runs in it
};

// What a start finds of its container's group.
enum class GroupState : uint64_t {
  kAbsent = 0,
  kBare = 1,     // it is there, without limits
  kLimited = 2,  // with those that are asked for
};

// What a descriptor is for. Each at most once in a message; what comes in numbers is in `more`.
enum class Role : uint32_t {
  kBody,
  kStdin,
  kStdout,
  kStderr,
  kRootfs,
  kFolder,
  kInit,  // to a hand
  kPidfd,
  kReport,
  kMountNamespace,
  kLog,
  kTerminal,
  kSource,                        // from a hand (kSource: both)
  kFeed,                          // to a hand
  kKit,                           // and as many as it has parts
  kPeer = kKit + launch::kParts,  // and one for each kind of shared namespace
  kCount = kPeer + kSharedKinds,
};

struct Message {
  JobKind kind = {};
  Failure failure;  // from a hand; step kNone: it went well
  int32_t pid = 0;
  uint32_t recycled = 0;  // from kTidy: bits kRecycled…
  std::string text;       // kernel log, or what a failure was about
  FieldWriter fields;
  std::vector<uint8_t> received_fields;
  std::shared_ptr<Body> body;
  std::array<UniqueFd, static_cast<size_t>(Role::kCount)> fds;
  std::vector<UniqueFd> more;

  [[nodiscard]] UniqueFd& fd(Role role) { return fds[static_cast<size_t>(role)]; }
  [[nodiscard]] UniqueFd& peer(size_t which) {
    return fds[static_cast<size_t>(Role::kPeer) + which];
  }
  [[nodiscard]] std::string First(JobTag tag) const;  // "" when absent
  [[nodiscard]] std::vector<std::string> All(JobTag tag) const;
  [[nodiscard]] uint64_t Number(JobTag tag) const;
  void PutKit(launch::Kit kit);
  [[nodiscard]] launch::Kit TakeKit();
  [[nodiscard]] bool ok() const { return failure.step == Step::kNone; }
};

constexpr uint32_t kRecycledGroup = 1;
constexpr uint32_t kRecycledFolder = 2;
constexpr uint32_t kRecycledBare = 4;  // the group has lost its limits

// Sends and closes what was sent. 0 or errno.
[[nodiscard]] int SendMessage(int socket, Message& message, bool block);

// Takes messages of one socket apart. A message with many descriptors comes in several packets.
class MessageReader {
 public:
  enum class State { kWhole, kPartial, kEnded };
  [[nodiscard]] State Receive(int socket, bool block);
  [[nodiscard]] Message Take() {
    expected_ = 0;
    return std::move(message_);
  }

 private:
  Message message_;
  size_t expected_ = 0;  // entries of `more` still to come
};

enum class Urgency { kKill, kStart, kPrepare, kTidy, kCount };
enum class Who { kInner, kOuter };

// A job in the loop's queue.
struct Job {
  Who who = Who::kInner;
  Urgency urgency = Urgency::kTidy;
  // A child of ours that we do not know of before the answer; or one of the hand's, for a moment,
  // which is ours when the hand dies over it.
  bool makes_process = false;
  // Completes the message when a hand is free for it (the latest moment to choose from pools).
  // False: nobody wants it any more, and `done` is not called.
  std::function<bool(Message& message)> prepare;
  // What `prepare` made, when the hand it was made for turned out to be dead.
  std::shared_ptr<Message> ready;
  // The answer; failure.step is kHandLost when the hand has died over it.
  std::function<void(Message reply)> done;
};

}  // namespace caisson
