// zone: init (read by child/ and supervisor/)
#pragma once

// What process 1 of a container with `init` (init.cc) shares with those who start and bury it.
namespace caisson::init {

constexpr char kInitName[] = "caisson-init";
constexpr int kInitReport = 3;  // the write end of the report pipe
constexpr int kInitImage = 4;   // its own executable; closed by the exec
constexpr int kInitSignalName =
    7;  // the name of one that ends for a signal: "signal " and 2 digits

}  // namespace caisson::init
