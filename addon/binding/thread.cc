// zone: loop
#include "binding/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

#include <new>

namespace caisson::binding {

namespace {

struct Work {
  void (*run)(void*);
  void* argument;
};

void* Run(void* argument) noexcept {
  auto* const work = static_cast<Work*>(argument);
  work->run(work->argument);
  delete work;
  return nullptr;
}

}  // namespace

int StartThread(void (*run)(void*), void* argument) noexcept {
  constexpr size_t kStackBytes = 128 * 1024;
  auto* const work = new (std::nothrow) Work{run, argument};
  if (work == nullptr) return ENOMEM;

  pthread_attr_t attributes;
  (void)pthread_attr_init(&attributes);
  (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  (void)pthread_attr_setstacksize(&attributes, kStackBytes);
  // The thread inherits the mask: the program's handlers keep running where they ran.
  sigset_t all;
  sigset_t before;
  (void)sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int error = pthread_create(&thread, &attributes, Run, work);
  (void)pthread_sigmask(SIG_SETMASK, &before, nullptr);
  (void)pthread_attr_destroy(&attributes);
  if (error != 0) delete work;
  return error;
}

}  // namespace caisson::binding
