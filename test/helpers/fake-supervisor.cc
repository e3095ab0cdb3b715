// A peer for the binding's own tests: speaks the protocol, starts plain child processes instead of
// containers, and misbehaves when asked. Never shipped.
//
//   Hello     Welcome
//   Launch    forks and executes kArg with the message's descriptors as stdio; Started with a pidfd
//   Exec      when wanted, Exited at the end; argv[0] "!fail" is Failed
//   Resize    echo: Done with the same body and the same descriptors
//   Warm      Done kColumns times, each with a body of kRows bytes
//   Remove    reads nothing for kColumns milliseconds, then Done
//   Register  a malformed message
//   Import    Done whose kDetail describes this process
//   Kill      dies of SIGKILL
//   Close     Done, exit status 0; the end of the channel is exit status 3, of the program 4
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/fields.h"
#include "base/unique_fd.h"
#include "plan/protocol.h"

extern char** environ;

namespace {

using caisson::Bytes;
using caisson::Field;
using caisson::FieldReader;
using caisson::FieldWriter;
using caisson::UniqueFd;
using caisson::protocol::Header;
using caisson::protocol::Tag;
using caisson::protocol::Type;

constexpr int kChannel = 3;
constexpr int kProgram = 4;

struct Child {
  uint32_t id;
  UniqueFd pidfd;
};

std::vector<Child> children;

void Send(Type type, uint32_t id, Bytes body, const std::vector<int>& fds = {}) {
  Header header = {static_cast<uint16_t>(type), static_cast<uint16_t>(fds.size()), id,
                   static_cast<uint32_t>(body.size()), 0};
  std::vector<int> all = fds;
  UniqueFd memfd;
  if (body.size() > caisson::protocol::kMaxInlineBody) {
    memfd.reset(static_cast<int>(syscall(SYS_memfd_create, "fake", 1U)));
    for (size_t done = 0; done < body.size();) {
      const ssize_t wrote = write(memfd.get(), body.data() + done, body.size() - done);
      if (wrote <= 0) _exit(99);
      done += static_cast<size_t>(wrote);
    }
    header.flags = caisson::protocol::kBodyInMemfd;
    all.insert(all.begin(), memfd.get());
    body = {};
  }
  iovec parts[2] = {{&header, sizeof header}, {const_cast<uint8_t*>(body.data()), body.size()}};
  char control[CMSG_SPACE(sizeof(int) * 20)] = {};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  if (!all.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * all.size());
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * all.size());
    memcpy(CMSG_DATA(rights), all.data(), sizeof(int) * all.size());
  }
  (void)!sendmsg(kChannel, &message, MSG_NOSIGNAL);
}

std::vector<std::string> Strings(Bytes body, Tag tag) {
  std::vector<std::string> all;
  FieldReader reader(body);
  Field field;
  std::string_view text;
  while (reader.Next(&field)) {
    if (field.tag == static_cast<uint16_t>(tag) && field.ReadString(&text)) all.emplace_back(text);
  }
  return all;
}

uint64_t Number(Bytes body, Tag tag) {
  uint64_t value = 0;
  FieldReader reader(body);
  Field field;
  while (reader.Next(&field)) {
    if (field.tag == static_cast<uint16_t>(tag)) (void)field.ReadU64(&value);
  }
  return value;
}

void Launch(uint32_t id, Bytes body, std::vector<UniqueFd>& fds) {
  std::vector<std::string> args = Strings(body, Tag::kArg);
  if (args.empty() || args[0] == "!fail") {
    FieldWriter failed;
    failed.U64(Tag::kStep, 59).U64(Tag::kErrno, 2).U64(Tag::kIndex, 0);
    Send(Type::kFailed, id, failed.bytes());
    return;
  }
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const bool has_stdin = fds.size() == 3;
    (void)dup2(has_stdin ? fds[0].get() : null, 0);
    (void)dup2(fds[fds.size() - 2].get(), 1);
    (void)dup2(fds[fds.size() - 1].get(), 2);
    (void)syscall(SYS_close_range, 3U, ~0U, 0U);
    char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
    char* environment[] = {path, nullptr};
    execvpe(argv[0], argv.data(), environment);
    _exit(127);
  }
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (Number(body, Tag::kWantStarted) != 0) Send(Type::kStarted, id, {}, {pidfd.get()});
  children.push_back({id, std::move(pidfd)});
}

void Exited(size_t at) {
  siginfo_t info{};
  if (waitid(static_cast<idtype_t>(3), static_cast<id_t>(children[at].pidfd.get()), &info,
             WEXITED | WNOHANG) != 0 ||
      info.si_pid == 0) {
    return;
  }
  FieldWriter body;
  body.U64(info.si_code == CLD_EXITED ? Tag::kExitCode : Tag::kExitSignal,
           static_cast<uint64_t>(info.si_status));
  body.U64(Tag::kReason, info.si_code == CLD_EXITED ? 0 : 1);
  Send(Type::kExited, children[at].id, body.bytes());
  children.erase(children.begin() + static_cast<ptrdiff_t>(at));
}

// What the binding promises about how this process is started.
std::string Describe(int argc, char** argv) {
  std::string text;
  for (int i = 0; i < argc; ++i) text += std::string("arg ") + argv[i] + "\n";
  for (char** entry = environ; *entry != nullptr; ++entry)
    text += std::string("env ") + *entry + "\n";
  DIR* const folder = opendir("/proc/self/fd");
  while (const dirent* entry = folder == nullptr ? nullptr : readdir(folder)) {
    if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(folder)) continue;
    char target[256] = {};
    const std::string path = std::string("/proc/self/fd/") + entry->d_name;
    (void)!readlink(path.c_str(), target, sizeof target - 1);
    text += std::string("fd ") + entry->d_name + " " + target + "\n";
  }
  if (folder != nullptr) closedir(folder);
  FILE* const status = fopen("/proc/self/status", "re");
  char line[256];
  while (status != nullptr && fgets(line, sizeof line, status) != nullptr) {
    if (strncmp(line, "SigBlk", 6) == 0 || strncmp(line, "SigIgn", 6) == 0) text += line;
  }
  if (status != nullptr) fclose(status);
  const int flags = fcntl(kChannel, F_GETFL);
  text += (flags & O_NONBLOCK) != 0 ? "channel non-blocking\n" : "channel blocking\n";
  return text;
}

void Answer(const Header& header, Bytes body, std::vector<UniqueFd>& fds, int argc, char** argv) {
  switch (static_cast<Type>(header.type)) {
    case Type::kHello: {
      FieldWriter welcome;
      welcome.U64(Tag::kVersion, caisson::protocol::kVersion);
      welcome.U64(Tag::kSupervisorPid, static_cast<uint64_t>(getpid()));
      welcome.U64(Tag::kBootstrapPid, static_cast<uint64_t>(getpid()));
      return Send(Type::kWelcome, header.id, welcome.bytes());
    }
    case Type::kLaunch:
    case Type::kExec:
      return Launch(header.id, body, fds);
    case Type::kResize: {
      std::vector<int> back;
      for (const UniqueFd& fd : fds) back.push_back(fd.get());
      return Send(Type::kDone, header.id, body, back);
    }
    case Type::kWarm: {
      const std::vector<uint8_t> filling(Number(body, Tag::kRows), 0x5a);
      for (uint64_t i = Number(body, Tag::kColumns); i > 0; --i) {
        Send(Type::kDone, header.id, filling);
      }
      return;
    }
    case Type::kRemove:
      (void)usleep(static_cast<useconds_t>(Number(body, Tag::kColumns) * 1000));
      return Send(Type::kDone, header.id, {});
    case Type::kRegister: {
      Header wrong = {static_cast<uint16_t>(Type::kDone), 3, header.id, 100, 0};
      (void)!send(kChannel, &wrong, sizeof wrong, MSG_NOSIGNAL);
      return;
    }
    case Type::kImport: {
      FieldWriter described;
      described.String(Tag::kDetail, Describe(argc, argv));
      return Send(Type::kDone, header.id, described.bytes());
    }
    case Type::kKill:
      (void)raise(SIGKILL);
      return;
    case Type::kClose:
      Send(Type::kDone, header.id, {});
      _exit(0);
    default:
      return Send(Type::kFailed, header.id, {});
  }
}

void ReadOne(int argc, char** argv) {
  static uint8_t buffer[sizeof(Header) + caisson::protocol::kMaxInlineBody];
  iovec part = {buffer, sizeof buffer};
  char control[CMSG_SPACE(sizeof(int) * 20)];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = recvmsg(kChannel, &message, MSG_CMSG_CLOEXEC);
  if (got <= 0) _exit(3);
  Header header{};
  memcpy(&header, buffer, sizeof header);
  std::vector<UniqueFd> fds;
  const cmsghdr* const rights = CMSG_FIRSTHDR(&message);
  if (rights != nullptr) {
    for (size_t i = 0; i < (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
      int fd = -1;
      memcpy(&fd, CMSG_DATA(rights) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  if ((header.flags & caisson::protocol::kBodyInMemfd) != 0) {
    constexpr int kWanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    if (fds.empty() || (fcntl(fds[0].get(), F_GET_SEALS) & kWanted) != kWanted) _exit(98);
    void* const body = mmap(nullptr, header.body_bytes, PROT_READ, MAP_PRIVATE, fds[0].get(), 0);
    if (body == MAP_FAILED) _exit(97);
    fds.erase(fds.begin());
    if (fds.size() != header.fd_count) _exit(96);
    Answer(header, Bytes(static_cast<uint8_t*>(body), header.body_bytes), fds, argc, argv);
    (void)munmap(body, header.body_bytes);
    return;
  }
  if (fds.size() != header.fd_count) _exit(96);
  Answer(header, Bytes(buffer + sizeof header, header.body_bytes), fds, argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  for (;;) {
    std::vector<pollfd> watched = {{kChannel, POLLIN, 0}, {kProgram, POLLIN, 0}};
    for (const Child& child : children) watched.push_back({child.pidfd.get(), POLLIN, 0});
    if (poll(watched.data(), watched.size(), -1) < 0) continue;
    if (watched[1].revents != 0) _exit(4);
    for (size_t i = children.size(); i > 0; --i) {
      if (watched[i + 1].revents != 0) Exited(i - 1);
    }
    if (watched[0].revents != 0) ReadOne(argc, argv);
  }
}
