// zone: native
#include "supervisor/children.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "supervisor/kernel.h"

namespace caisson {

namespace {

struct Stat {
  int parent = -1;
  unsigned flags = 0;
};

// /proc/PID/stat: "pid (comm) state ppid pgrp session tty_nr tpgid flags …" (proc(5)).
bool ReadStat(pid_t pid, int proc_fd, Stat* stat) {
  char path[32];
  (void)snprintf(path, sizeof path, "%d/stat", pid);
  UniqueFd file(openat(proc_fd, path, O_RDONLY | O_CLOEXEC));
  if (!file) return false;
  char text[512];
  const ssize_t bytes = read(file.get(), text, sizeof text - 1);
  if (bytes <= 0) return false;
  text[bytes] = '\0';
  const char* end = strrchr(text, ')');  // The name may hold anything, ')' too.
  if (end == nullptr) return false;
  return sscanf(end + 1, " %*c %d %*d %*d %*d %*d %u", &stat->parent, &stat->flags) == 2;
}

}  // namespace

std::vector<pid_t> ChildrenOf(pid_t parent, int proc_fd) {
  std::vector<pid_t> children;
  DIR* folder = fdopendir(openat(proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder == nullptr) return children;
  while (const dirent* entry = readdir(folder)) {
    const pid_t pid = atoi(entry->d_name);
    Stat stat;
    if (pid > 0 && ReadStat(pid, proc_fd, &stat) && stat.parent == parent) children.push_back(pid);
  }
  (void)closedir(folder);
  return children;
}

Executed HasExecuted(pid_t pid, int proc_fd) {
  constexpr unsigned kForkedButNotExecuted = 0x40;  // PF_FORKNOEXEC of linux/sched.h
  Stat stat;
  if (!ReadStat(pid, proc_fd, &stat)) return Executed::kUnknown;
  return (stat.flags & kForkedButNotExecuted) != 0 ? Executed::kNo : Executed::kYes;
}

int SignalToldBy(pid_t pid, int proc_fd) {
  char path[32];
  (void)snprintf(path, sizeof path, "%d/comm", pid);
  const UniqueFd file(openat(proc_fd, path, O_RDONLY | O_CLOEXEC));
  char text[32] = {};
  if (!file || read(file.get(), text, sizeof text - 1) <= 0) return 0;
  int signal = 0;
  return sscanf(text, "signal %d", &signal) == 1 ? signal : 0;
}

}  // namespace caisson
