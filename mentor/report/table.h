// A table of a report as HTML, Markdown and CSV. Not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "mentor/report/statistics.h"

namespace mentor::report {

class Table {
 public:
  struct Cell {
    enum class Kind { kText, kNumber, kInterval };
    Kind kind = Kind::kText;
    std::string text;       // Text for people.
    Interval interval;      // The mean is the value of a number.
    std::string note = {};  // Small print below the text; not in CSV.
    std::vector<double> by_seed = {};
  };
  static Cell Text(std::string text, std::string note = "");
  static Cell Number(double value, std::string text);  // "-" when it is not finite
  static Cell Value(const Interval& interval);         // "0.45 [0.41, 0.49]"
  // Includes each meta-seed's own number: "0.45 [0.41, 0.49] (0.42, 0.48)".
  static Cell Value(const Interval& interval, std::vector<double> by_seed);
  static Cell None();  // "-"

  // In CSV, columns of intervals become NAME, NAME_low and NAME_high. With each meta-seed's own
  // numbers there is also NAME_by_meta_seed, "0.42 0.48".
  struct Column {
    std::string name;
    Cell::Kind kind = Cell::Kind::kText;
    bool by_seed = false;
  };
  Table(std::string name, std::string title, std::vector<Column> columns)
      : name_(std::move(name)), title_(std::move(title)), columns_(std::move(columns)) {}

  void Add(std::vector<Cell> row);  // Must have one cell per column.

  const std::string& name() const { return name_; }    // Name of its file, without ending.
  const std::string& title() const { return title_; }  // Plain text.
  bool empty() const { return rows_.empty(); }
  std::string Html() const;
  std::string Markdown() const;
  std::string Csv() const;

 private:
  const std::string name_;
  const std::string title_;
  const std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace mentor::report
