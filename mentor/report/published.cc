#include "mentor/report/published.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include "common/check.h"
#include "common/file.h"
#include "mentor/report/csv_reader.h"

namespace mentor::report {
namespace {

constexpr uint64_t kBytesMax = 1 << 20;
constexpr int kEpisodesMax = 1000;  // Limit of a figure.
constexpr size_t kCurvesMax = 12;   // More curves cannot be told apart.
constexpr size_t kValuesNamed = 8;  // Values listed in an error.

std::string Stripped(std::string_view text) {
  return std::string(absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size())));
}

struct Sheet : CsvContent {
  std::string file;  // As the user named it.

  absl::Status Refuse(const CsvRow& row, const std::string& what) const {
    return absl::InvalidArgumentError(absl::StrFormat("%s:%d: %s", file, row.line, what));
  }
  // "a, b, c and 4 others"
  std::string ValuesOf(size_t column) const {
    std::vector<std::string> values;
    for (const CsvRow& row : rows) {
      if (std::find(values.begin(), values.end(), row.cells[column]) == values.end())
        values.push_back(row.cells[column]);
    }
    const size_t left_out = values.size() - std::min(values.size(), kValuesNamed);
    values.resize(values.size() - left_out);
    return absl::StrJoin(values, ", ") +
           (left_out > 0 ? absl::StrFormat(" and %d others", left_out) : "");
  }
};

absl::StatusOr<Sheet> ReadSheet(const std::filesystem::path& file) {
  MENTOR_ASSIGN_OR_RETURN(const std::string text, mentor::ReadFile(file, kBytesMax));
  Sheet sheet;
  sheet.file = file.string();
  MENTOR_ASSIGN_OR_RETURN(static_cast<CsvContent&>(sheet), ParseCsv(text, sheet.file));
  for (const char* column : {"method", "episode", "success"}) {
    if (sheet.Find(column)) continue;
    return sheet.Refuse(
        sheet.header,
        absl::StrFormat("has no column '%s'; the first line names the columns, among them one "
                        "each of method, episode and success",
                        column));
  }
  return sheet;
}

// Keeps only the rows that `selection` chooses.
absl::Status Select(std::string_view selection, Sheet* sheet) {
  if (Stripped(selection).empty()) return absl::OkStatus();
  const auto refuse = [&](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("--published_rows: ", what));
  };
  const std::optional<std::vector<std::string>> pairs = ParseCsvLine(selection);
  if (!pairs) return refuse("a quote is not closed");
  for (const std::string& pair : *pairs) {
    const std::pair<std::string, std::string> sides = absl::StrSplit(pair, absl::MaxSplits('=', 1));
    const std::string name(Stripped(sides.first)), value(Stripped(sides.second));
    if (name.empty() || pair.find('=') == std::string::npos) {
      return refuse(absl::StrFormat(
          "'%s' is not COLUMN=VALUE, as in figure=1; quote a value that holds a comma", pair));
    }
    const std::optional<size_t> column = sheet->Find(name);
    if (!column) {
      return refuse(absl::StrFormat("%s has no column '%s'; it has %s", sheet->file, name,
                                    absl::StrJoin(sheet->header.cells, ", ")));
    }
    const std::string values = sheet->ValuesOf(*column);
    std::erase_if(sheet->rows, [&](const CsvRow& row) { return row.cells[*column] != value; });
    if (!sheet->rows.empty()) continue;
    return refuse(absl::StrFormat(
        "no row of %s is left at %s=%s; column %s has %s%s", sheet->file, name, value, name, values,
        pairs->size() > 1 ? " in the rows that the pairs before it choose" : ""));
  }
  return absl::OkStatus();
}

// Suggests how to tell two rows of the same episode apart.
std::string Apart(const Sheet& sheet, const CsvRow& first, const CsvRow& second) {
  for (size_t c = 0; c < sheet.header.cells.size(); ++c) {
    const std::string& name = sheet.header.cells[c];
    if (name == "success" || first.cells[c] == second.cells[c]) continue;
    return absl::StrFormat("they differ in column %s: choose with --published_rows \"%s=%s\"", name,
                           name, first.cells[c]);
  }
  return "remove one of the two";
}

absl::StatusOr<double> SuccessOf(const Sheet& sheet, const CsvRow& row, const std::string& text) {
  double success = 0;
  if (absl::SimpleAtod(text, &success) && success >= 0 && success <= 1) return success;
  return sheet.Refuse(
      row,
      absl::StrFormat("column success: is '%s', expected a rate from 0 to 1, as in 0.25", text));
}

// Returns the number of an episode; 0: deterministic.
absl::StatusOr<int> EpisodeOf(const Sheet& sheet, const CsvRow& row, const std::string& text) {
  if (text == "deterministic") return 0;
  int episode = 0;
  if (absl::SimpleAtoi(text, &episode) && episode >= 1 && episode <= kEpisodesMax) return episode;
  return sheet.Refuse(
      row, absl::StrFormat("column episode: is '%s', expected a whole number from 1 to %d, or "
                           "deterministic; leave such rows out with --published_rows COLUMN=VALUE",
                           text, kEpisodesMax));
}

}  // namespace

absl::StatusOr<Published> ReadPublished(const std::filesystem::path& file, std::string_view rows,
                                        const std::string& name) {
  MENTOR_ASSIGN_OR_RETURN(Sheet sheet, ReadSheet(file));
  MENTOR_RETURN_IF_ERROR(Select(rows, &sheet));
  if (sheet.rows.empty()) {
    return sheet.Refuse(sheet.header, "no rows follow; expected a row for each method and episode");
  }
  const size_t method = *sheet.Find("method"), episode = *sheet.Find("episode"),
               success = *sheet.Find("success");
  const std::optional<size_t> split = sheet.Find("split");
  Published published{.name = name, .curves = {}};
  std::map<std::tuple<std::string, std::string, int>, const CsvRow*> known;
  std::map<std::string, size_t> counts;  // Number of curves by split.
  for (const CsvRow& row : sheet.rows) {
    PublishedCurve own{.split = split ? row.cells[*split] : "test", .method = row.cells[method]};
    if (own.method.empty() || own.split.empty()) {
      return sheet.Refuse(row, absl::StrFormat("column %s: is empty; name it",
                                               own.method.empty() ? "method" : "split"));
    }
    MENTOR_ASSIGN_OR_RETURN(const int number, EpisodeOf(sheet, row, row.cells[episode]));
    MENTOR_ASSIGN_OR_RETURN(const double rate, SuccessOf(sheet, row, row.cells[success]));
    const auto [first, is_new] = known.emplace(std::tuple(own.split, own.method, number), &row);
    if (!is_new) {
      return sheet.Refuse(
          row, absl::StrFormat("a second number for episode %s of '%s' on split %s, after line %d; "
                               "%s",
                               row.cells[episode], own.method, own.split, first->second->line,
                               Apart(sheet, *first->second, row)));
    }
    auto curve = std::find_if(published.curves.begin(), published.curves.end(),
                              [&](const PublishedCurve& other) {
                                return other.split == own.split && other.method == own.method;
                              });
    if (curve == published.curves.end()) {
      if (++counts[own.split] > kCurvesMax) {
        return sheet.Refuse(
            row, absl::StrFormat("the %dth method on split %s, and more than %d curves cannot be "
                                 "told apart: choose fewer with --published_rows COLUMN=VALUE",
                                 kCurvesMax + 1, own.split, kCurvesMax));
      }
      curve = published.curves.insert(curve, std::move(own));
    }
    if (number == 0)
      curve->deterministic = rate;
    else
      curve->episodes[number] = rate;
  }
  return published;
}

}  // namespace mentor::report
