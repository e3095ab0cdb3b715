#!/bin/sh
# The C++ tests by hand, without cmake: compiles and runs them plain and with sanitizers.
#
#   test/native/run.sh [NAME…]          programs of test/native/launch/, all or those named
#   test/native/run.sh fuzz [SECONDS]   the plan's parser under libFuzzer (clang-19), from the corpus
#   test/native/run.sh fuzz-protocol [SECONDS]   the same for what the supervisor takes from a program
#   test/native/run.sh fuzz-layer [SECONDS]      the same for archives and compressed streams of layers
set -eu
cd "$(dirname "$0")/../.."
build=build/native-tests
flags='-std=c++23 -g -fno-exceptions -fno-rtti -fno-threadsafe-statics -Wall -Wextra -Wconversion -Iaddon -Itest/native'

if [ "${1:-}" = fuzz ]; then
  mkdir -p "$build/corpus"
  # shellcheck disable=SC2086
  ${FUZZ_CXX:-clang++-19} $flags -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
    test/native/fuzz/parse_fuzz.cc addon/plan/*.cc addon/plan/seccomp/*.cc -o "$build/parse_fuzz"
  exec "$build/parse_fuzz" -max_total_time="${2:-60}" -timeout=10 -print_final_stats=1 \
    "$build/corpus" test/native/fuzz/corpus
fi

if [ "${1:-}" = fuzz-protocol ]; then
  mkdir -p "$build/protocol-corpus"
  sources='addon/launch/limits.cc addon/launch/oom.cc addon/plan/parse_limits.cc addon/layer/unpack_plan.cc'
  for name in body channel children debug diff_plan exports folders group_parents id_view import_attributes \
    imports job journal launch_request log_writer loop options packet pools reply requests tasks_end tasks_freeze \
    tasks_oom tasks_start; do
    sources="$sources addon/supervisor/$name.cc"
  done
  # shellcheck disable=SC2086
  ${FUZZ_CXX:-clang++-19} $flags -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
    test/native/fuzz/protocol_fuzz.cc $sources -o "$build/protocol_fuzz"
  exec "$build/protocol_fuzz" -max_total_time="${2:-60}" -timeout=10 -print_final_stats=1 \
    "$build/protocol-corpus" test/native/fuzz/protocol-corpus
fi

if [ "${1:-}" = fuzz-layer ]; then
  mkdir -p "$build/layer-corpus"
  tar -xzf test/native/layer/found.tar.gz -C "$build/layer-corpus"
  sources=
  for name in tar_reader tar_header pax sparse_map layer_path decompressor; do
    sources="$sources addon/layer/$name.cc"
  done
  # shellcheck disable=SC2086
  ${FUZZ_CXX:-clang++-19} $flags -O1 -DCAISSON_ZLIB -DCAISSON_ZSTD \
    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
    test/native/layer/layer_fuzz.cc $sources -lz -lzstd -o "$build/layer_fuzz"
  exec "$build/layer_fuzz" -max_total_time="${2:-60}" -timeout=10 -rss_limit_mb=1024 -max_len=65536 \
    -print_final_stats=1 "$build/layer-corpus" test/native/layer/corpus
fi

names=${*:-$(cd test/native/launch && echo *_test.cc | sed 's/\.cc//g')}
status=0
for kind in plain sanitized; do
  mkdir -p "$build/$kind"
  options=-O2
  [ $kind = plain ] || options='-O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all'
  for source in addon/child/*.cc addon/init/*.cc addon/launch/*.cc addon/plan/*.cc addon/plan/seccomp/*.cc; do
    object=$build/$kind/$(echo "$source" | tr / _).o
    [ -e "$object" ] && [ -z "$(find "$source" addon/*/*.h -newer "$object")" ] && continue
    echo "${CXX:-c++} $flags $options -c $source -o $object"
  done | xargs -r -P2 -I{} sh -c '{}'
  rm -f "$build/$kind/library.a"
  ar rcs "$build/$kind/library.a" "$build/$kind"/addon_*.o
  for name in $names; do
    # shellcheck disable=SC2086
    ${CXX:-c++} $flags $options "test/native/launch/$name.cc" "$build/$kind/library.a" -o "$build/$kind/$name"
    printf '== %s (%s)\n' "$name" "$kind"
    "$build/$kind/$name" || { [ $? -eq 77 ] || status=1; }
  done
done
exit $status
