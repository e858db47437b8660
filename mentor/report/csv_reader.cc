#include "mentor/report/csv_reader.h"

#include <csv.h>

#include <algorithm>
#include <set>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "common/printable.h"

namespace mentor::report {
namespace {

// What libcsv's callbacks fill.
struct Reading {
  std::vector<std::string> cells;
  std::vector<std::vector<std::string>> rows;  // The header is the first one.
  bool too_many = false;
};

void OnCell(void* bytes, size_t size, void* data) {
  const auto* begin = static_cast<const char*>(bytes);
  static_cast<Reading*>(data)->cells.emplace_back(begin, size);
}

void OnRow(int, void* data) {
  auto* reading = static_cast<Reading*>(data);
  if (reading->rows.size() > kCsvRowsMax) {
    reading->too_many = true;
  } else {
    reading->rows.push_back(std::move(reading->cells));
  }
  reading->cells.clear();
}

}  // namespace

int CsvContent::Column(std::string_view name) const {
  const auto found = std::find(header.begin(), header.end(), name);
  return found == header.end() ? -1 : static_cast<int>(found - header.begin());
}

absl::StatusOr<CsvContent> ParseCsv(std::string_view text) {
  if (text.size() > kCsvBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("has ", text.size(), " bytes; at most ",
                                                   kCsvBytesMax,
                                                   " are read: give a part of the file"));
  }
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  csv_parser parser;
  if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI) != 0)
    return absl::InternalError("the CSV parser could not begin");
  Reading reading;
  const size_t read = csv_parse(&parser, text.data(), text.size(), OnCell, OnRow, &reading);
  const bool whole = read == text.size() && csv_fini(&parser, OnCell, OnRow, &reading) == 0;
  csv_free(&parser);
  if (!whole) {
    return absl::InvalidArgumentError(
        absl::StrCat("row ", reading.rows.size(),
                     " is no CSV: a cell with quotes needs a quote at both ends, and quotes in it "
                     "twice"));
  }
  if (reading.too_many) {
    return absl::InvalidArgumentError(
        absl::StrCat("has more than ", kCsvRowsMax, " rows: give a part of the file"));
  }
  if (reading.rows.empty())
    return absl::InvalidArgumentError("is empty; the first line names the columns");
  CsvContent content;
  content.header = std::move(reading.rows[0]);
  std::set<std::string> names;
  for (const std::string& name : content.header) {
    if (!names.insert(name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("has two columns '", Printable(name), "': rename one"));
    }
  }
  for (size_t i = 1; i < reading.rows.size(); ++i) {
    if (reading.rows[i].size() != content.header.size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "row ", i, " has ", reading.rows[i].size(), " cells, the header has ",
          content.header.size(), ": a cell with a comma in it needs quotes around it"));
    }
    content.rows.push_back(std::move(reading.rows[i]));
  }
  return content;
}

}  // namespace mentor::report
