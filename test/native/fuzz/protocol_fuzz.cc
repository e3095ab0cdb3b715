// zone: test
// libFuzzer target: what a program may send. Packets, in any order and shape, go through the
// channel's checks and the requests' dispatch; the hands are stubs that succeed, fail or vanish as
// the input says. Whatever comes in, nothing is read outside of it, no request gets two last
// answers, and at the end none goes without. Seeds: protocol-corpus/ (make_protocol_corpus.py).
//
// Input: u8 script, then packets:  u16 bytes · u8 descriptors · u8 flags · bytes
//   flags 1: the bytes after the header go into a memfd; 2: which is not sealed; 4: truncated
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <deque>
#include <map>

#include "supervisor/channel.h"
#include "supervisor/folders.h"
#include "supervisor/imports.h"
#include "supervisor/pools.h"
#include "supervisor/requests.h"
#include "supervisor/tasks.h"

namespace {

using namespace caisson;
using protocol::Header;
using protocol::Type;

void Require(bool condition) {
  if (!condition) abort();
}

// Answers, with an account: `asked` minus last answers, per id.
class Account final : public Answers {
 public:
  void Send(Type type, uint32_t id, const FieldWriter& body, std::vector<UniqueFd> fds) override {
    FieldReader reader(body.bytes());
    for (Field field; reader.Next(&field);) continue;
    Require(reader.ok());
    // A pidfd, and the master of a terminal.
    Require(type == Type::kStarted ? fds.size() == 1 || fds.size() == 2 : fds.empty());
    if (type != Type::kStarted) --open_[id];
  }
  void Asked(uint32_t id) { ++open_[id]; }
  // Everything has its answer, except what still runs: that will have one.
  template <typename Runs>
  void RequireSettled(Runs runs) const {
    for (const auto& [id, count] : open_) Require(count == (runs(id) ? 1 : 0));
  }

 private:
  std::map<uint32_t, int> open_;
};

class StubHands final : public Jobs {
 public:
  void Submit(Job job) override { waiting_.push_back(std::move(job)); }

  // Does the oldest job: 0 fails it, 1 loses the hand, else it goes well.
  bool DoOne(unsigned how) {
    if (waiting_.empty()) return false;
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    Message message;
    if (!job.prepare(message)) return true;
    Message reply;
    reply.kind = message.kind;
    if (how == 0) {
      reply.failure = {Step::kMount, 0, ENOENT, 1};
    } else if (how == 1) {
      reply.failure = {Step::kHandLost, 0, ECHILD, 0};
    } else {
      Succeed(message, &reply);
    }
    if (job.done) job.done(std::move(reply));
    return true;
  }

 private:
  static void Event(Message* reply, Role role) { reply->fd(role).reset(eventfd(0, EFD_CLOEXEC)); }

  static void Succeed(const Message& message, Message* reply) {
    switch (message.kind) {
      case JobKind::kLaunch:
      case JobKind::kExec:
      case JobKind::kImport:
      case JobKind::kUnpack:
      case JobKind::kExport:
      case JobKind::kDiff: {
        int pair[2];
        Require(pipe2(pair, O_CLOEXEC) == 0);
        (void)close(pair[1]);
        reply->fd(Role::kReport).reset(pair[0]);
        reply->pid = 7;
        Event(reply, Role::kPidfd);
        Event(reply, Role::kMountNamespace);
        Event(reply, Role::kLog);
        return;
      }
      case JobKind::kKit:
        return Event(reply, Role::kKit);
      case JobKind::kSlot:
        return Event(reply, Role::kRootfs);
      case JobKind::kOpenFolder:
        return Event(reply, Role::kSource);
      case JobKind::kRotate:
        return Event(reply, Role::kLog);
      case JobKind::kSources:
        // As many as a real hand would find is its business: here one.
        reply->more.emplace_back(eventfd(0, EFD_CLOEXEC));
        return;
      default:
        return;
    }
  }

  std::deque<Job> waiting_;
};

std::vector<UniqueFd> Descriptors(const uint8_t* bytes, size_t size, unsigned count,
                                  unsigned flags) {
  std::vector<UniqueFd> fds;
  if ((flags & 1) != 0) {
    UniqueFd memfd(memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (size > sizeof(Header)) {
      Require(write(memfd.get(), bytes + sizeof(Header), size - sizeof(Header)) >= 0);
    }
    if ((flags & 2) == 0)
      (void)fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    fds.push_back(std::move(memfd));
  }
  for (unsigned i = 0; i < count % 20; ++i) fds.emplace_back(open("/dev/null", O_RDWR | O_CLOEXEC));
  return fds;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  unsigned script = *data++;
  --size;

  Loop loop;
  Require(loop.Open().has_value());
  Account answers;
  StubHands hands;
  const Options options;
  const std::vector<CgroupBase> bases;
  const launch::Host host;
  const bool with_groups = (script & 1) != 0;
  const uint64_t controls = (script & 2) != 0 ? ~uint64_t{0} : 0;
  GroupParents parents(hands, nullptr, options, bases);
  Pools pools(loop, hands, "scratch/fuzz", with_groups, controls);
  Tasks tasks(loop, hands, pools, parents, answers, host, with_groups);
  Folders folders(hands, pools, answers, nullptr);
  Imports imports(loop, hands, answers, "scratch/fuzz");
  bool refused = false;
  std::vector<uint32_t> closes;
  Requests requests(answers, tasks, folders, imports, pools,
                    {.welcome = [] { return FieldWriter(); },
                     .refused = [&] { refused = true; },
                     .close = [&](uint32_t id) { closes.push_back(id); }});

  while (size >= 4 && !refused) {
    size_t bytes = data[0] | (data[1] << 8);
    const unsigned count = data[2];
    const unsigned flags = data[3];
    data += 4;
    size -= 4;
    bytes = bytes < size ? bytes : size;
    auto fds = Descriptors(data, bytes, count, flags);
    const size_t inlined = (flags & 1) != 0 && bytes > sizeof(Header) ? sizeof(Header) : bytes;
    // Exactly as long as the packet, so that a read past its end is seen.
    const std::vector<uint8_t> packet(data, data + inlined);
    uint32_t id = 0;
    auto request = ReadRequest(packet, (flags & 4) != 0, std::move(fds), &id);
    answers.Asked(id);
    if (request) {
      Require(request->id == id);
      requests.Handle(std::move(*request));
    } else {
      answers.Failed(id, request.error());
    }
    data += bytes;
    size -= bytes;
    script = script * 1103515245 + 12345;
    for (unsigned i = 0; i < (script >> 16) % 4; ++i)
      (void)hands.DoOne((script >> (18 + 2 * i)) % 5);
    loop.RunSoon();
  }

  // The end, as the supervisor brings it about; the stubs' processes have no status to give.
  tasks.KillAll([] {});
  imports.KillAll([] {});
  for (int rounds = 0; rounds < 10000; ++rounds) {
    loop.RunSoon();
    if (!hands.DoOne(1)) break;
  }
  loop.RunSoon();
  for (const uint32_t id : closes) answers.Done(id);
  answers.RequireSettled([&](uint32_t id) { return tasks.Has(id) || imports.Has(id); });
  pools.Close();
  return 0;
}
