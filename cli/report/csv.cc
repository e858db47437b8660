#include "cli/report/csv.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <absl/cleanup/cleanup.h>
#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <csv.h>

#include "common/printable.h"

namespace mentor::report {
namespace {

// What libcsv calls back with.
struct Rows {
  std::vector<CsvRow> done;
  CsvRow next;
};

void OnCell(void* bytes, size_t size, void* rows) {
  const std::string cell(static_cast<const char*>(bytes), size);
  static_cast<Rows*>(rows)->next.cells.emplace_back(absl::StripAsciiWhitespace(cell));
}

void OnRow(int /*end*/, void* rows) {
  auto& [done, next] = *static_cast<Rows*>(rows);
  done.push_back(std::exchange(next, {.line = next.line}));
}

absl::Status Wrong(const std::string& file, int line, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(file, ":", line, ": ", what));
}

}  // namespace

std::string CsvLine(const std::vector<std::string>& cells) {
  const auto quoted = [](std::string* line, const std::string& cell) {
    const bool plain = cell.find_first_of(",\"\r\n") == cell.npos;
    absl::StrAppend(line, plain ? cell : "\"" + absl::StrReplaceAll(cell, {{"\"", "\"\""}}) + "\"");
  };
  return absl::StrJoin(cells, ",", quoted) + "\n";
}

std::string CsvNumber(double value) {
  return std::isfinite(value) ? absl::StrFormat("%.10g", value) : "";
}

std::optional<size_t> CsvContent::Find(std::string_view column) const {
  const auto found = std::find(header.cells.begin(), header.cells.end(), column);
  if (found == header.cells.end()) return std::nullopt;
  return static_cast<size_t>(found - header.cells.begin());
}

absl::StatusOr<CsvContent> ParseCsv(std::string_view text, const std::string& file) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  csv_parser parser;
  csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI);
  const absl::Cleanup free_parser = [&] { csv_free(&parser); };
  Rows rows;
  bool right = true, in_quotes = false;
  // Line by line, so that rows know their numbers.
  for (int line = 1; !text.empty() && right; ++line) {
    const std::string_view own = text.substr(0, std::min(text.find('\n'), text.size() - 1) + 1);
    text.remove_prefix(own.size());
    if (!IsUtf8(own)) return Wrong(file, line, "is not UTF-8; save the file as UTF-8");
    const bool is_empty = own.find_first_not_of(" \t\r\n") == own.npos;
    if (!in_quotes && (is_empty || own.starts_with('#'))) continue;
    if (!in_quotes) rows.next.line = line;
    const size_t before = rows.done.size();
    right = csv_parse(&parser, own.data(), own.size(), OnCell, OnRow, &rows) == own.size();
    in_quotes = rows.done.size() == before;
  }
  if (!right || csv_fini(&parser, OnCell, OnRow, &rows) != 0) {
    return Wrong(file, rows.next.line,
                 "a cell's quotes do not end: close them with \"; a quote inside is \"\"");
  }
  if (rows.done.empty()) return Wrong(file, 1, "is empty; the first line names the columns");
  CsvContent content{.header = std::move(rows.done[0]), .rows = {}};
  const std::vector<std::string>& names = content.header.cells;
  for (const std::string& name : names) {
    if (std::count(names.begin(), names.end(), name) > 1) {
      return Wrong(file, content.header.line,
                   absl::StrCat("has more than one column '", Printable(name), "'; rename one"));
    }
  }
  content.rows.assign(std::make_move_iterator(rows.done.begin() + 1),
                      std::make_move_iterator(rows.done.end()));
  for (const CsvRow& row : content.rows) {
    if (row.cells.size() == names.size()) continue;
    return Wrong(
        file, row.line,
        absl::StrCat("has ", row.cells.size(), " cells, expected ", names.size(), " as in line ",
                     content.header.line, "; put cells that hold a comma in quotes"));
  }
  return content;
}

}  // namespace mentor::report
