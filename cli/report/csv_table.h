// Builds a CSV file from rows of cells under a header. Not thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/check.h"

namespace mentor::report {

// Quotes a CSV field when RFC 4180 requires it.
std::string CsvField(std::string_view text);
// Formats ten significant digits; empty when not finite.
std::string CsvNumber(double value);

class CsvTable {
 public:
  explicit CsvTable(std::vector<std::string> header) : columns_(header.size()) {
    AddLine(std::move(header));
  }

  class Row {
   public:
    Row& Text(std::string_view text) {
      cells_.push_back(CsvField(text));
      return *this;
    }
    Row& Number(double value) {  // Empty when not finite.
      cells_.push_back(CsvNumber(value));
      return *this;
    }

   private:
    friend class CsvTable;
    std::vector<std::string> cells_;
  };

  void Add(Row row) {
    MENTOR_CHECK(row.cells_.size() == columns_);
    AddLine(std::move(row.cells_));
  }
  const std::string& text() const { return text_; }

 private:
  void AddLine(std::vector<std::string> cells) {
    for (size_t i = 0; i < cells.size(); ++i) {
      if (i > 0) text_ += ',';
      text_ += cells[i];
    }
    text_ += '\n';
  }

  const size_t columns_;
  std::string text_;
};

}  // namespace mentor::report
