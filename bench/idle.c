// The program of a container that is up and does nothing: asleep until a signal ends it. Pid 1 of
// a pid namespace ignores SIGTERM unless it has a handler.
#include <signal.h>
#include <unistd.h>

static void End(int signal) {
  _exit(128 + signal);
}

int main(void) {
  signal(SIGTERM, End);
  for (;;) pause();
}
