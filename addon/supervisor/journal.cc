// zone: native
#include "supervisor/journal.h"

#include <string_view>

#include "supervisor/kernel.h"

namespace caisson {

namespace {

constexpr char kNewJournalName[] = "journal.new";
constexpr uint32_t kCompactAfter = 1024;  // records that are gone

UniqueFd CreateFile(int folder, const char* name) {
  return UniqueFd(openat(folder, name, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
}

int WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = RetryEintr([&] { return write(fd, text.data(), text.size()); });
    if (n < 0) return errno;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return 0;
}

bool ParseNumber(std::string_view text, uint32_t* number) {
  if (text.empty() || text.size() > 9) return false;
  *number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    *number = *number * 10 + static_cast<uint32_t>(c - '0');
  }
  return true;
}

}  // namespace

Result<> Journal::Create(int run_folder_fd) {
  folder_ = run_folder_fd;
  file_ = CreateFile(folder_, kJournalName);
  if (!file_) return FailErrno(Step::kJournal);
  return {};
}

Result<> Journal::Write(const std::string& line) {
  if (const int error = WriteAll(file_.get(), line); error != 0) {
    return Fail(Step::kJournal, error);
  }
  return {};
}

Result<uint32_t> Journal::Append(const char* kind, const std::string& text) {
  const uint32_t number = next_++;
  std::string line = std::string(kind) + ' ' + std::to_string(number) + ' ' + text + '\n';
  if (auto written = Write(line); !written) return std::unexpected(written.error());
  live_.emplace(number, std::move(line));
  return number;
}

void Journal::Gone(uint32_t number) {
  if (live_.erase(number) == 0) return;
  // A record that stays by mistake is undone again, which does nothing.
  (void)Write("gone " + std::to_string(number) + '\n');
  if (++dead_ >= kCompactAfter && dead_ > 3 * live_.size()) Compact();
}

// By rename, so that a crash finds the old journal or the new one. The lock is on the folder.
void Journal::Compact() {
  UniqueFd fresh = CreateFile(folder_, kNewJournalName);
  if (!fresh) return;
  std::string text;
  for (const auto& [number, line] : live_) text += line;
  if (WriteAll(fresh.get(), text) != 0) return;
  if (renameat(folder_, kNewJournalName, folder_, kJournalName) != 0) return;
  file_ = std::move(fresh);
  dead_ = 0;
}

Result<std::vector<JournalRecord>> Journal::Read(int run_folder_fd) {
  UniqueFd file(openat(run_folder_fd, kJournalName, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return FailErrno(Step::kJournal);
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t n = RetryEintr([&] { return read(file.get(), buffer, sizeof buffer); });
    if (n < 0) return FailErrno(Step::kJournal);
    if (n == 0) break;
    text.append(buffer, static_cast<size_t>(n));
  }
  std::map<uint32_t, JournalRecord> live;
  std::string_view rest = text;
  for (size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    const size_t first = line.find(' ');
    if (first == std::string_view::npos) continue;
    const std::string_view kind = line.substr(0, first);
    const size_t second = line.find(' ', first + 1);
    uint32_t number = 0;
    if (!ParseNumber(line.substr(first + 1, second - first - 1), &number)) continue;
    if (kind == "gone") {
      live.erase(number);
    } else if (second != std::string_view::npos) {
      live[number] = {std::string(kind), number, std::string(line.substr(second + 1))};
    }
  }
  std::vector<JournalRecord> records;
  records.reserve(live.size());
  for (auto& [number, record] : live) records.push_back(std::move(record));
  return records;
}

}  // namespace caisson
