// Times whole processes: `spawner COUNT WARMUP PROGRAM ARGS...` starts the program COUNT times, one
// after the other, and prints the nanoseconds from before posix_spawn to after wait4, one number a
// line. "%d" in an argument becomes a number that is different in each start (container ids).
// Every peer is timed by it, so that all pay the same few microseconds for being started.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char** environ;

static uint64_t Now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static char* WithNumber(const char* pattern, unsigned number) {
  const char* at = strstr(pattern, "%d");
  char* text = NULL;
  if (at == NULL) return strdup(pattern);
  if (asprintf(&text, "%.*s%u%s", (int)(at - pattern), pattern, number, at + 2) < 0) return NULL;
  return text;
}

int main(int argc, char** argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: %s COUNT WARMUP PROGRAM ARGS...\n", argv[0]);
    return 2;
  }
  const int count = atoi(argv[1]);
  const int warmup = atoi(argv[2]);
  char** args = calloc((size_t)argc, sizeof *args);
  for (int i = 0; i < count + warmup; ++i) {
    // The pid makes numbers unique over the rounds of one benchmark.
    for (int a = 3; a < argc; ++a) {
      free(args[a - 3]);
      args[a - 3] = WithNumber(argv[a], (unsigned)getpid() * 1000u + (unsigned)i);
    }
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    pid_t pid = -1;
    int status = 0;
    struct rusage usage;
    const uint64_t begin = Now();
    const int error = posix_spawnp(&pid, args[0], &files, NULL, args, environ);
    if (error != 0) {
      fprintf(stderr, "%s: %s\n", args[0], strerror(error));
      return 1;
    }
    while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    const uint64_t end = Now();
    posix_spawn_file_actions_destroy(&files);
    if (status != 0) {
      fprintf(stderr, "%s: wait status %d\n", args[0], status);
      return 1;
    }
    if (i >= warmup) printf("%llu\n", (unsigned long long)(end - begin));
  }
  return 0;
}
