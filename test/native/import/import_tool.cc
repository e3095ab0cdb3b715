// zone: native
// Drives an import without a supervisor:
//
//   import_tool SOURCE TARGET [TAR]   imports a folder; prints "sha256:<hex> <bytes>" or the failure
//   import_tool --sha256 [portable]   digests its standard input

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "base/fields.h"
#include "plan/protocol.h"
#include "supervisor/import.h"
#include "supervisor/sha256.h"

namespace {

using caisson::protocol::Tag;

int Digest(caisson::Sha256::Way way) {
  caisson::Sha256 sha(way);
  uint8_t buffer[64 * 1024];
  size_t odd = 1;
  // Pieces of many sizes, so that every way of filling a block is met.
  for (;;) {
    const ssize_t bytes = read(STDIN_FILENO, buffer, odd);
    if (bytes <= 0) break;
    sha.Update(buffer, static_cast<size_t>(bytes));
    odd = odd >= sizeof buffer / 2 ? sizeof buffer : odd * 2 + 1;
  }
  printf("%s %s\n", caisson::ToHex(sha.Finish()).c_str(),
         caisson::Sha256::Accelerated() ? "accelerated" : "portable");
  return 0;
}

int Print(int report_fd) {
  uint8_t body[4096];
  const ssize_t bytes = read(report_fd, body, sizeof body);
  if (bytes <= 0) return 1;
  caisson::FieldReader reader({body, static_cast<size_t>(bytes)});
  caisson::Field field;
  while (reader.Next(&field)) {
    std::string_view text;
    uint64_t number = 0;
    const auto tag = static_cast<Tag>(field.tag);
    if ((tag == Tag::kImportResult || tag == Tag::kDetail) && field.ReadString(&text)) {
      printf("%.*s ", static_cast<int>(text.size()), text.data());
    } else if (field.ReadU64(&number)) {
      printf("%" PRIu64 " ", number);
    }
  }
  printf("\n");
  return 0;
}

int Import(const char* source, const std::string& target, const char* tar) {
  const size_t slash = target.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : target.substr(0, slash);
  const std::string name = slash == std::string::npos ? target : target.substr(slash + 1);
  const int source_fd = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
  const int parent_fd = open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int tar_fd =
      tar == nullptr ? -1 : open(tar, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  int report[2];
  if (source_fd < 0 || parent_fd < 0 || pipe2(report, O_CLOEXEC) != 0) {
    perror("import_tool");
    return 2;
  }
  const int status =
      caisson::RunImportAndTar(source_fd, parent_fd, name.c_str(), report[1], tar_fd);
  return Print(report[0]) == 0 ? status : 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc >= 2 && strcmp(argv[1], "--sha256") == 0) {
    return Digest(argc == 3 ? caisson::Sha256::Way::kPortable : caisson::Sha256::Way::kFastest);
  }
  if (argc != 3 && argc != 4) return 2;
  return Import(argv[1], argv[2], argc == 4 ? argv[3] : nullptr);
}
