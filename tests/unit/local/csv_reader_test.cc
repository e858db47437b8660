#include "mentor/report/csv_reader.h"

#include <string>

#include "mentor/report/html.h"
#include "tests/testing.h"

namespace mentor::report {
namespace {

std::string ErrorOf(const std::string& text) {
  return std::string(ParseCsv(text).status().message());
}

TEST_CASE("csv: cells with commas, quotes and line feeds come back as they were written",
          "[unit]") {
  const std::vector<std::string> cells = {"a,b", "say \"hi\"", "two\nlines", "", " blank "};
  std::string text = "one,two,three,four,five\n";
  for (size_t i = 0; i < cells.size(); ++i) text += (i > 0 ? "," : "") + CsvField(cells[i]);
  const auto read = ParseCsv(text);
  REQUIRE(read.ok());
  CHECK(read->rows == std::vector<std::vector<std::string>>{cells});
  CHECK(read->Column("three") == 2);
  CHECK(read->Column("six") == -1);
}

TEST_CASE("csv: a byte order mark, carriage returns and empty lines are nothing", "[unit]") {
  const auto read = ParseCsv("\xef\xbb\xbf" "a,b\r\n\r\n1,2\r\n\n3,4");
  REQUIRE(read.ok());
  CHECK(read->header == std::vector<std::string>{"a", "b"});
  CHECK(read->rows == std::vector<std::vector<std::string>>{{"1", "2"}, {"3", "4"}});
}

TEST_CASE("csv: what is wrong is named with its row", "[unit]") {
  CHECK(ErrorOf("") == "is empty; the first line names the columns");
  CHECK(ErrorOf("a,b\n1,2\n1,2,3\n") ==
        "row 2 has 3 cells, the header has 2: a cell with a comma in it needs quotes around it");
  CHECK(ErrorOf("a,a\n") == "has two columns 'a': rename one");
  CHECK(ErrorOf("a,b\n1,\"open\n").find("is no CSV: a cell with quotes") != std::string::npos);
  CHECK(ErrorOf("a,b\n1,x\"y\n").find("is no CSV") != std::string::npos);
  CHECK(ErrorOf(std::string(kCsvBytesMax + 1, 'x')).find("give a part of the file") !=
        std::string::npos);
}

}  // namespace
}  // namespace mentor::report
