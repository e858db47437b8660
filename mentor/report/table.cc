#include "mentor/report/table.h"

#include <cmath>
#include <limits>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>

#include "common/check.h"
#include "mentor/report/csv_table.h"
#include "mentor/report/html.h"
#include "mentor/report/summary.h"

namespace mentor::report {
namespace {

using Kind = Table::Cell::Kind;

bool IsRight(Kind kind) {
  return kind != Kind::kText;
}

}  // namespace

Table::Cell Table::Text(std::string text, std::string note) {
  return {Kind::kText, std::move(text), {kNone, kNone, kNone}, std::move(note)};
}

Table::Cell Table::Number(double value, std::string text) {
  if (!std::isfinite(value)) return None();
  return {Kind::kNumber, std::move(text), {value, value, value}};
}

Table::Cell Table::Value(const Interval& interval) {
  if (!std::isfinite(interval.mean)) return None();
  return {Kind::kInterval, FormatInterval(interval), interval};
}

Table::Cell Table::Value(const Interval& interval, std::vector<double> by_seed) {
  Cell cell = Value(interval);
  if (cell.kind != Kind::kInterval) return cell;
  cell.text = FormatInterval(interval, by_seed);
  cell.by_seed = std::move(by_seed);
  return cell;
}

Table::Cell Table::None() {
  return {Kind::kNumber, "-", {kNone, kNone, kNone}};
}

void Table::Add(std::vector<Cell> row) {
  MENTOR_CHECK(row.size() == columns_.size());
  rows_.push_back(std::move(row));
}

std::string Table::Html() const {
  // A wide table scrolls, also with the keyboard; its title stays.
  const std::string title = EscapeHtml(title_);
  std::string html = absl::StrFormat(
      "<p class=\"table-title\">%s</p>\n<div class=\"scroll\" role=\"group\" tabindex=\"0\" "
      "aria-label=\"%s\"><table aria-label=\"%s\"><thead><tr>",
      title, title, title);
  for (const Column& column : columns_) {
    absl::StrAppend(&html, "<th scope=\"col\"", IsRight(column.kind) ? " class=\"n\">" : ">",
                    EscapeHtml(column.name), "</th>");
  }
  html += "</tr></thead><tbody>\n";
  for (const auto& row : rows_) {
    html += "<tr>";
    for (size_t c = 0; c < row.size(); ++c) {
      const Cell& cell = row[c];
      std::string text = cell.text, small = cell.note;
      // Put the interval below its mean.
      const size_t bracket = text.find(" [");
      if (cell.kind != Kind::kText && bracket != std::string::npos) {
        small = text.substr(bracket + 1);
        text.resize(bracket);
      }
      const bool is_head = c == 0 && columns_[c].kind == Kind::kText;
      absl::StrAppend(&html, is_head ? "<th scope=\"row\"" : "<td",
                      IsRight(columns_[c].kind) ? " class=\"n\">" : ">", EscapeHtml(text),
                      small.empty() ? "" : "<small>" + EscapeHtml(small) + "</small>",
                      is_head ? "</th>" : "</td>");
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string Table::Markdown() const {
  const auto escaped = [](const std::string& text) {
    return absl::StrReplaceAll(text, {{"|", "\\|"}, {"\n", " "}});
  };
  std::string text = absl::StrCat("### ", title_, "\n\n|");
  for (const Column& column : columns_) absl::StrAppend(&text, " ", escaped(column.name), " |");
  text += "\n|";
  for (const Column& column : columns_) text += IsRight(column.kind) ? "---:|" : "---|";
  text += "\n";
  for (const auto& row : rows_) {
    text += "|";
    for (const Cell& cell : row) absl::StrAppend(&text, " ", escaped(cell.text), " |");
    text += "\n";
  }
  return text;
}

std::string Table::Csv() const {
  std::vector<std::string> header;
  for (const Column& column : columns_) {
    header.push_back(CsvField(column.name));
    if (column.kind != Kind::kInterval) continue;
    header.push_back(CsvField(column.name + "_low"));
    header.push_back(CsvField(column.name + "_high"));
    if (column.by_seed) header.push_back(CsvField(column.name + "_by_meta_seed"));
  }
  CsvTable csv(header);
  for (const auto& cells : rows_) {
    CsvTable::Row row;
    for (size_t c = 0; c < cells.size(); ++c) {
      if (columns_[c].kind == Kind::kText) row.Text(cells[c].text);
      if (columns_[c].kind == Kind::kNumber) row.Number(cells[c].interval.mean);
      if (columns_[c].kind == Kind::kInterval) row.Mean(cells[c].interval);
      if (columns_[c].by_seed) {
        std::vector<std::string> numbers;
        for (const double value : cells[c].by_seed) numbers.push_back(CsvNumber(value));
        row.Text(absl::StrJoin(numbers, " "));
      }
    }
    csv.Add(std::move(row));
  }
  return csv.text();
}

}  // namespace mentor::report
