#include "cli/report/csv.h"

#include <string>

#include "tests/testing.h"

namespace mentor::report::TEST_FILE {

std::string ErrorOf(const std::string& text) {
  return std::string(ParseCsv(text, "a.csv").status().message());
}

TEST_CASE("csv: cells with commas, quotes and line feeds come back as they were written",
          "[unit]") {
  const std::vector<std::string> cells = {"a,b", "say \"hi\"", "two\n# lines", "", "plain"};
  const auto read = ParseCsv("one,two,three,four,five\n" + CsvLine(cells) + "1,2,3,4,5", "a.csv");
  REQUIRE(read.ok());
  REQUIRE(read->rows.size() == 2);
  CHECK(read->rows[0].cells == cells);
  CHECK(read->rows[0].line == 2);
  CHECK(read->rows[1].line == 4);
  CHECK(read->Find("three") == 2);
  CHECK_FALSE(read->Find("six"));
}

TEST_CASE("csv: marks, carriage returns, comments and empty lines are nothing", "[unit]") {
  const auto read = ParseCsv("\xef\xbb\xbf# c\r\na, b\r\n\r\n1,2\r\n\n# x,\n3,4", "a.csv");
  REQUIRE(read.ok());
  CHECK(read->header.cells == std::vector<std::string>{"a", "b"});
  REQUIRE(read->rows.size() == 2);
  CHECK(read->rows[0].cells == std::vector<std::string>{"1", "2"});
  CHECK(read->rows[1].cells == std::vector<std::string>{"3", "4"});
  CHECK(read->rows[1].line == 7);
}

TEST_CASE("csv: what is wrong is named with its line", "[unit]") {
  CHECK(ErrorOf("a,b\n1,\xff\n") == "a.csv:2: is not UTF-8; save the file as UTF-8");
  CHECK(ErrorOf("") == "a.csv:1: is empty; the first line names the columns");
  CHECK(ErrorOf("a,b\n1,2\n\n1,2,3\n") ==
        "a.csv:4: has 3 cells, expected 2 as in line 1; put cells that hold a comma in quotes");
  CHECK(ErrorOf("a,a\n") == "a.csv:1: has more than one column 'a'; rename one");
  CHECK(ErrorOf("a,b\n1,\"open\n2,3\n").find("a.csv:2: a cell's quotes do not end") == 0);
  CHECK(ErrorOf("a,b\n1,2\n1,\"x\"y\n").find("a.csv:3: a cell's quotes do not end") == 0);
}

}  // namespace mentor::report::TEST_FILE
