// zone: native
#pragma once

namespace caisson {

// `caisson-supervisor launch`: one container made of an OCI bundle, without a supervisor: what an
// OCI runtime's command is built on. It stays until the container has ended, and ends as that did.
//
//   fd 3   the bundle: the fields of a Launch (ParseBundle), read to its end
//   fd 4   told as lines: "created PID", "started PID", "exited CODE", "signaled NUMBER",
//          "failed STEP ERRNO INDEX DETAIL", "warning STEP ERRNO INDEX DETAIL"
//   --hold           waits, created, for a byte on fd 5 before it starts; its end cancels
//   --pid-file PATH        the pid, written before "created" is told
//   --console-socket PATH  of a Unix socket that the terminal is sent to, as runc does it; needed
//   if
//                          and only if there is one
//
// When it is killed, so is the container; the empty cgroup is then its caller's to remove.
//
// Stdio is the container's. Signals that reach this process are passed on to it.
int RunOneShot(int argc, char** argv);

}  // namespace caisson
