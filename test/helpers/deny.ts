import { join } from 'node:path';

import { compileStatic } from './rootfs.js';

/**
 * A program that stands for whatever runs around us with a seccomp filter: Docker, Kubernetes, systemd.
 *
 *     deny ENOSYS clone3 EPERM unshare -- command…
 *
 * makes these calls fail so, for the command and all it starts. Needs neither root nor libseccomp: it
 * sets no_new_privs first unless it may do without.
 */
export function compileDeny(folder: string): Promise<string> {
  return compileStatic(SOURCE, join(folder, 'deny'));
}

const SOURCE = `
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct { const char *name; int number; } calls[] = {
  {"clone3", 435}, {"unshare", SYS_unshare}, {"mount", SYS_mount}, {"openat2", 437}, {"fsopen", 430},
  {"keyctl", SYS_keyctl}, {"pidfd_open", 434}, {"close_range", 436}, {"mount_setattr", 442},
  {"memfd_create", SYS_memfd_create}, {"setns", SYS_setns}, {"seccomp", SYS_seccomp},
};

int main(int argc, char **argv) {
  struct sock_filter program[64];
  unsigned short n = 0;
  int at = 1;
  program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (; at + 1 < argc && strcmp(argv[at], "--") != 0; at += 2) {
    int error = strcmp(argv[at], "ENOSYS") == 0 ? ENOSYS : EPERM;
    int number = -1;
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++)
      if (strcmp(calls[i].name, argv[at + 1]) == 0) number = calls[i].number;
    if (number < 0 || n > 60) return fprintf(stderr, "deny: %s\\n", argv[at + 1]), 2;
    program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1);
    program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error);
  }
  program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog filter = {n, program};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return perror("deny"), 2;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) return perror("deny"), 2;
  }
  if (at + 1 >= argc) return 2;
  execvp(argv[at + 1], argv + at + 1);
  return perror(argv[at + 1]), 127;
}
`;
