// zone: native
#pragma once

namespace caisson {

// `caisson-supervisor check --root DIR --run DIR --mode root|rootless [--cgroup-parent PATH]`:
// tries what a container needs of this host and prints one line per item:
//
//   id TAB ok|fail|note TAB cause TAB errno-name TAB detail
//
// `fail`: containers cannot run. `note`: they can, with less. `cause` (a word, "-" for none) picks
// the remedy in lib/host/remedies.ts; `errno-name` is "-" where no call failed. docs/host.md has a
// section per id. Nothing the trials do outlives them. Exits with 0 when everything was tried,
// whatever the answers; with 2 on unknown options.
// `argv` is the whole command line, the subcommand included.
int RunCheck(int argc, char** argv);

}  // namespace caisson
