// zone: native
#pragma once

#include "plan/seccomp/profile.h"

namespace caisson::seccomp {

// What Docker lets a container call: the verdicts of its default profile as of
// github.com/moby/profiles/seccomp v0.2.3 (default.json of May 2026), for the machines that we are
// built for. Two answers differ, both on purpose:
//  - socket(2) looks at the 32 bits of the family that the kernel looks at (Condition::low_half);
//  - what is newer than the profile is absent on x32 and on 32-bit arm too, where runc takes the
//    numbers of their private calls for the newest.
[[nodiscard]] const Profile& DefaultProfile() noexcept;

// The same for code that nobody trusts: the machine's own calls alone. With 32-bit calls goes
// socketcall(2), whose family no filter can see.
[[nodiscard]] const Profile& StrictProfile() noexcept;

}  // namespace caisson::seccomp
