// zone: test
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <string>
#include <vector>

// A test program is a list of named functions; a failed check ends the program with the place.
namespace caisson::test {

inline std::string current_test;

[[noreturn]] inline void Fail(const char* file, int line, const std::string& what) {
  fprintf(stderr, "FAIL %s:%d in %s: %s\n", file, line, current_test.c_str(), what.c_str());
  exit(1);
}

inline std::string Show(const std::string& value) {
  return '"' + value + '"';
}
inline std::string Show(const char* value) {
  return Show(std::string(value));
}
template <typename T>
std::string Show(const T& value) {
  return std::to_string(static_cast<long long>(value));
}

inline void Run(const char* name, void (*test)()) {
  current_test = name;
  test();
  printf("ok %s\n", name);
  fflush(stdout);
}

}  // namespace caisson::test

#define CHECK(condition)                                                                \
  do {                                                                                  \
    if (!(condition)) caisson::test::Fail(__FILE__, __LINE__, "not true: " #condition); \
  } while (false)

#define CHECK_EQ(actual, expected)                                                       \
  do {                                                                                   \
    const auto& actual_ = (actual);                                                      \
    const auto& expected_ = (expected);                                                  \
    if (!(actual_ == expected_)) {                                                       \
      caisson::test::Fail(__FILE__, __LINE__,                                            \
                          std::string(#actual) + " is " + caisson::test::Show(actual_) + \
                              ", not " + caisson::test::Show(expected_));                \
    }                                                                                    \
  } while (false)

#define CHECK_OK(call)                                                                      \
  do {                                                                                      \
    if ((call) < 0) {                                                                       \
      caisson::test::Fail(__FILE__, __LINE__, std::string(#call) + ": " + strerror(errno)); \
    }                                                                                       \
  } while (false)

#define RUN(function) caisson::test::Run(#function, function)
