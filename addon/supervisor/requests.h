// zone: native
#pragma once

#include <functional>

#include "supervisor/channel.h"
#include "supervisor/folders.h"
#include "supervisor/imports.h"
#include "supervisor/pools.h"
#include "supervisor/tasks.h"

namespace caisson {

// Reads requests in the order of plan/protocol.h and hands each to whom it concerns. What is out of
// order or malformed is refused and not acted on.
class Requests {
 public:
  struct Hooks {
    std::function<FieldWriter()> welcome;  // the body of Welcome
    std::function<void()> refused;         // the hand-shake was bad: the channel ends
    std::function<void(uint32_t id)> close;
  };
  Requests(Answers& answers, Tasks& tasks, Folders& folders, Imports& imports, Pools& pools,
           Hooks hooks)
      : answers_(answers),
        tasks_(tasks),
        folders_(folders),
        imports_(imports),
        pools_(pools),
        hooks_(std::move(hooks)) {}

  void Handle(Request request);

 private:
  void Hello(const Request& request);
  void Signal(const Request& request);
  void Kill(const Request& request);
  void Freeze(const Request& request);
  void Resize(const Request& request);
  void Warm(const Request& request);
  void Refuse(const Request& request, int error);

  Answers& answers_;
  Tasks& tasks_;
  Folders& folders_;
  Imports& imports_;
  Pools& pools_;
  Hooks hooks_;
  bool greeted_ = false;
  bool closing_ = false;
};

}  // namespace caisson
