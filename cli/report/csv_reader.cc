#include "cli/report/csv_reader.h"

#include <algorithm>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <csv.h>

#include "common/printable.h"

namespace mentor::report {
namespace {

// Feeds libcsv line by line, so that rows know their line numbers.
class Reader {
 public:
  Reader() { ok_ = csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI) == 0; }
  ~Reader() { csv_free(&parser_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // Returns false when the text is no CSV.
  bool Feed(std::string_view line, int number) {
    if (!in_row_) row_.line = number;
    in_row_ = true;
    ok_ = ok_ && csv_parse(&parser_, line.data(), line.size(), OnCell, OnRow, this) == line.size();
    return ok_;
  }
  bool End() { return ok_ && csv_fini(&parser_, OnCell, OnRow, this) == 0; }
  // True if a quoted cell continues in the next line.
  bool in_row() const { return in_row_ && !row_ended_; }
  void Next() {
    if (row_ended_) in_row_ = row_ended_ = false;
  }
  int line() const { return row_.line; }
  std::vector<CsvRow> rows = {};

 private:
  static void OnCell(void* bytes, size_t size, void* self) {
    const std::string cell(static_cast<const char*>(bytes), size);
    static_cast<Reader*>(self)->row_.cells.emplace_back(absl::StripAsciiWhitespace(cell));
  }
  static void OnRow(int, void* self) {
    auto* reader = static_cast<Reader*>(self);
    const int line = reader->row_.line;
    reader->rows.push_back(std::exchange(reader->row_, {.line = line}));
    reader->row_ended_ = true;
  }

  csv_parser parser_;
  CsvRow row_;
  bool ok_ = false, in_row_ = false, row_ended_ = false;
};

absl::Status Wrong(const std::string& file, int line, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(file, ":", line, ": ", what));
}

}  // namespace

std::optional<size_t> CsvContent::Find(std::string_view column) const {
  const auto found = std::find(header.cells.begin(), header.cells.end(), column);
  if (found == header.cells.end()) return std::nullopt;
  return static_cast<size_t>(found - header.cells.begin());
}

absl::StatusOr<CsvContent> ParseCsv(std::string_view text, const std::string& file) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  Reader reader;
  const auto quotes = [&] {
    return Wrong(file, reader.line(),
                 "a cell's quotes do not end: close them with \"; a quote inside is \"\"");
  };
  for (int line = 1; !text.empty(); ++line) {
    const size_t end = text.find('\n');
    const std::string_view own =
        text.substr(0, end == std::string_view::npos ? text.size() : end + 1);
    text.remove_prefix(own.size());
    if (!IsUtf8(own)) return Wrong(file, line, "is not UTF-8; save the file as UTF-8");
    reader.Next();
    if (!reader.in_row() && own.starts_with('#')) continue;
    if (!reader.in_row() && own.find_first_not_of(" \t\r\n") == std::string_view::npos) continue;
    if (!reader.Feed(own, line)) return quotes();
  }
  if (!reader.End()) return quotes();
  if (reader.rows.empty()) return Wrong(file, 1, "is empty; the first line names the columns");
  CsvContent content{.header = std::move(reader.rows[0]), .rows = {}};
  for (const std::string& name : content.header.cells) {
    if (std::count(content.header.cells.begin(), content.header.cells.end(), name) > 1) {
      return Wrong(file, content.header.line,
                   absl::StrCat("has more than one column '", Printable(name), "'; rename one"));
    }
  }
  content.rows.assign(std::make_move_iterator(reader.rows.begin() + 1),
                      std::make_move_iterator(reader.rows.end()));
  for (const CsvRow& row : content.rows) {
    if (row.cells.size() == content.header.cells.size()) continue;
    return Wrong(file, row.line,
                 absl::StrCat("has ", row.cells.size(), " cells, expected ",
                              content.header.cells.size(), " as in line ", content.header.line,
                              "; put cells that hold a comma in quotes"));
  }
  return content;
}

std::optional<std::vector<std::string>> ParseCsvLine(std::string_view line) {
  Reader reader;
  if (!reader.Feed(line, 1) || !reader.End() || reader.rows.size() != 1) return std::nullopt;
  return std::move(reader.rows[0].cells);
}

}  // namespace mentor::report
