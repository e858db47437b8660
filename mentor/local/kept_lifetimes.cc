#include "mentor/local/kept_lifetimes.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <google/protobuf/io/gzip_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "common/check.h"
#include "common/evaluation_method.h"
#include "mentor/report/csv_reader.h"
#include "mentor/report/csv_table.h"

namespace mentor {
namespace {

using google::protobuf::io::GzipInputStream;
using google::protobuf::io::GzipOutputStream;
using report::EvaluationRow;

constexpr std::array kLifetimeColumns = {
    "teacher",         "split",         "environment", "lifetime",          "goal",
    "goal_seed",       "has_goals",     "seed",        "lifetime_episodes", "segment_episodes",
    "episode_success", "episode_return"};
constexpr size_t kTextBytesMax = size_t{64} << 20;
constexpr char kRemedy[] = "; record the run again with --lifetimes";

// The shortest text that reads back as the same number.
template <typename T>
std::string NumberText(T value) {
  std::array<char, 32> text{};
  const std::to_chars_result end = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), end.ptr};
}

template <typename T>
std::string NumbersText(const std::vector<T>& values) {
  std::string text;
  for (const T value : values) absl::StrAppend(&text, text.empty() ? "" : " ", NumberText(value));
  return text;
}

bool Read(const std::string& text, double* value) {
  return absl::SimpleAtod(text, value) && std::isfinite(*value);
}
template <typename T>
bool Read(const std::string& text, T* value) {
  return absl::SimpleAtoi(text, value) && *value >= 0;
}
template <typename T>
bool Read(const std::string& text, std::vector<T>* values) {
  const std::vector<std::string> words = absl::StrSplit(text, ' ', absl::SkipEmpty());
  for (const std::string& word : words)
    if (!Read(word, &values->emplace_back())) return false;
  return true;
}

bool Read(const std::string& text, v1::EvaluationMethod* method) {
  const auto found = MethodOfOption(text);
  *method = found.value_or(v1::EVALUATION_METHOD_UNSPECIFIED);
  return found.has_value();
}

// Returns the column whose cell cannot be read; null when all can.
const char* ReadRow(const std::vector<std::string>& cells, EvaluationRow* row) {
  uint32_t has_goals = 0;
  row->split = cells[1];
  row->environment = cells[2];
  const std::array read = {Read(cells[0], &row->method),
                           !row->split.empty(),
                           true,
                           Read(cells[3], &row->lifetime),
                           Read(cells[4], &row->goal),
                           Read(cells[5], &row->goal_seed),
                           Read(cells[6], &has_goals) && has_goals <= 1,
                           Read(cells[7], &row->seed),
                           Read(cells[8], &row->lifetime_episodes),
                           Read(cells[9], &row->segment_episodes),
                           Read(cells[10], &row->episode_success),
                           Read(cells[11], &row->episode_return)};
  row->has_goals = has_goals == 1;
  for (size_t i = 0; i < read.size(); ++i)
    if (!read[i]) return kLifetimeColumns[i];
  return nullptr;
}

// nullopt: not a whole gzip file, or one with a longer text than is read.
std::optional<std::string> Unzipped(std::string_view bytes) {
  google::protobuf::io::ArrayInputStream packed(bytes.data(), static_cast<int>(bytes.size()));
  GzipInputStream stream(&packed, GzipInputStream::GZIP);
  std::string text;
  const void* data = nullptr;
  int size = 0;
  while (text.size() <= kTextBytesMax && stream.Next(&data, &size))
    text.append(static_cast<const char*>(data), static_cast<size_t>(size));
  if (text.size() > kTextBytesMax) return std::nullopt;
  // The stream checks the sum of what is there, and takes a file that was cut off for a whole one.
  // A whole one ends with the text's size, four bytes, the lowest first (RFC 1952).
  constexpr size_t kSizeBytes = 4;
  if (bytes.size() < kSizeBytes) return std::nullopt;
  uint32_t size_at_end = 0;
  for (size_t i = 0; i < kSizeBytes; ++i)
    size_at_end = size_at_end << 8 | static_cast<uint8_t>(bytes[bytes.size() - 1 - i]);
  constexpr int kStreamEnd = 1;  // Z_STREAM_END
  const bool whole =
      stream.ZlibErrorCode() == kStreamEnd && text.size() == size_at_end && size_at_end > 0;
  return whole ? std::optional(text) : std::nullopt;
}

}  // namespace

absl::StatusOr<std::string> PackLifetimes(const std::vector<EvaluationRow>& rows) {
  report::CsvTable table({kLifetimeColumns.begin(), kLifetimeColumns.end()});
  for (const EvaluationRow& row : rows) {
    table.Add(report::CsvTable::Row()
                  .Text(InfoOf(row.method).option)
                  .Text(row.split)
                  .Text(row.environment)
                  .Text(NumberText(row.lifetime))
                  .Text(NumberText(row.goal))
                  .Text(NumberText(row.goal_seed))
                  .Text(row.has_goals ? "1" : "0")
                  .Text(NumberText(row.seed))
                  .Text(NumberText(row.lifetime_episodes))
                  .Text(NumbersText(row.segment_episodes))
                  .Text(NumbersText(row.episode_success))
                  .Text(NumbersText(row.episode_return)));
  }
  if (table.text().size() > kTextBytesMax) {
    return absl::OutOfRangeError(absl::StrCat("the lifetimes are ", table.text().size(),
                                              " bytes of text; at most ", kTextBytesMax,
                                              " are kept: record without --lifetimes"));
  }
  std::string bytes;
  google::protobuf::io::StringOutputStream out(&bytes);
  GzipOutputStream::Options options;
  options.compression_level = 9;
  GzipOutputStream stream(&out, options);
  for (size_t written = 0; written < table.text().size();) {
    void* data = nullptr;
    int size = 0;
    MENTOR_CHECK(stream.Next(&data, &size));
    const size_t part =
        table.text().copy(static_cast<char*>(data), static_cast<size_t>(size), written);
    written += part;
    stream.BackUp(size - static_cast<int>(part));
  }
  MENTOR_CHECK(stream.Close());
  return bytes;
}

absl::StatusOr<std::vector<EvaluationRow>> UnpackLifetimes(std::string_view bytes,
                                                           const std::string& file) {
  const auto refuse = [&](const std::string& where, const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat(file, where, ": ", what, kRemedy));
  };
  if (bytes.size() > std::numeric_limits<int>::max()) return refuse("", "is too large");
  const std::optional<std::string> text = Unzipped(bytes);
  if (!text)
    return refuse("", "is no whole gzip file of a claim's lifetimes, or holds more than 64 MiB");
  MENTOR_ASSIGN_OR_RETURN(const report::CsvContent content, report::ParseCsv(*text, file));
  if (content.header.cells !=
      std::vector<std::string>(kLifetimeColumns.begin(), kLifetimeColumns.end()))
    return refuse(":1", "has other columns than those of this version");
  std::vector<EvaluationRow> rows;
  for (const report::CsvRow& line : content.rows) {
    const char* wrong = ReadRow(line.cells, &rows.emplace_back());
    if (wrong != nullptr)
      return refuse(absl::StrCat(":", line.line),
                    absl::StrCat("column ", wrong, " is not as written"));
  }
  return rows;
}

}  // namespace mentor
