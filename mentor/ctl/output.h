// What mentorctl prints: tables for people, JSON, YAML and CSV for programs, names for shells; and
// errors on stderr with the exit codes that scripts rely on. One thread.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <google/protobuf/message.h>

#include "common/printable.h"

namespace mentor::ctl {

// Part of the interface: scripts rely on them.
enum Exit : int {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,  // Also a request that the server finds invalid.
  kNotFound = 3,
  kCredentials = 4,
  kConflict = 5,  // Exists already, or the state does not allow it.
  kUnavailable = 6,
  kOtherState = 7,  // The wait is over, but in another state.
  kInterrupted = 130,
};
int ExitCodeOf(const absl::Status& status);
// What they mean, for people.
inline constexpr std::pair<Exit, std::string_view> kExitMeanings[] = {
    {kOk, "done"},
    {kFailed, "failed"},
    {kUsage, "usage or invalid request"},
    {kNotFound, "not found"},
    {kCredentials, "credentials or role"},
    {kConflict, "conflict or wrong state"},
    {kUnavailable, "unavailable or timed out"},
    {kOtherState, "the wait ended in another state"},
    {kInterrupted, "interrupted"},
};

enum class Format { kTable, kJson, kYaml, kCsv, kName };

enum class Style { kPlain, kBold, kDim, kGood, kBad, kBusy, kWarning };

// A cell of a table.
struct Cell {
  Cell(std::string text, Style style = Style::kPlain) : text(std::move(text)), style(style) {}
  Cell(const char* text, Style style = Style::kPlain) : text(text), style(style) {}
  std::string text;
  Style style;
};
using Row = std::vector<Cell>;

// Lines of a table: columns as wide as their cells, two spaces between, nothing at the ends of
// lines. With columns_max above 0, longer lines are cut there. The first row is the header.
std::vector<std::string> TableLines(const std::vector<Row>& rows, int columns_max, bool color);

// The same rows without the columns that a narrow terminal has no room for: of `expendable`, names
// of the header, the first goes first. columns_max 0: all stay.
std::vector<Row> WithRoom(std::vector<Row> rows, int columns_max,
                          const std::vector<std::string>& expendable);

// A line of comma-separated values (RFC 4180), without its end.
std::string CsvLine(const std::vector<std::string>& cells);

// Characters that a terminal shows, taking each code point for one.
size_t Width(std::string_view utf8);
// At most `width` characters, the last one "…" when something was cut.
std::string Clip(std::string_view utf8, size_t width);
// Everything that came from elsewhere and is shown to people goes through this; tables do it by
// themselves.
using mentor::Printable;
std::string Styled(std::string_view text, Style style, bool color);
// How a state is shown.
Style StyleOfState(std::string_view state);

// Protobuf JSON on one line, without the end of the line; a terminal obeys nothing in it. Fields
// without a value are left out.
std::string ToJson(const google::protobuf::Message& message);
// A JSON value as YAML, every line indented by `indent` spaces, with the end of the last line.
std::string JsonToYaml(const std::string& json, int indent = 0);

// Where output goes, and in which form.
class Output {
 public:
  struct Options {
    Format format = Format::kTable;
    bool quiet = false;
    bool color = false;  // On stdout.
    int columns = 0;     // Width of the terminal on stdout; 0: there is none.
    bool verbose = false;
    std::string server;  // For hints.
  };
  explicit Output(Options options) : options_(std::move(options)) {}

  Format format() const { return options_.format; }
  bool table() const { return options_.format == Format::kTable; }
  bool json() const { return options_.format == Format::kJson; }
  const Options& options() const { return options_; }

  // One object: as JSON, as YAML, as its name, or as the rows of a table without a header; its name
  // too where there are no rows.
  void Object(const google::protobuf::Message& message, const std::string& name,
              const std::vector<Row>& rows) const;
  // The answer to a change: a sentence for people.
  void Done(const google::protobuf::Message& message, const std::string& name,
            const std::string& sentence) const;
  void Table(const std::vector<Row>& rows) const;
  // A line on stderr for people; not with --quiet.
  void Note(const std::string& sentence) const;
  // "error: REASON: sentence" and a hint, or a google.rpc.Status in JSON; returns the exit code.
  int Fail(const absl::Status& status, const std::string& hint = "") const;

 private:
  std::string HintOf(const absl::Status& status) const;

  const Options options_;
};

// A list that is printed in the form that was asked for: JSON, YAML and names as they come, a table
// at the end.
class Listing {
 public:
  // In a narrow terminal columns of `expendable` are left out, the first of them first.
  Listing(const Output* output, Row header, std::vector<std::string> expendable = {})
      : output_(output), expendable_(std::move(expendable)), rows_{std::move(header)} {}
  void Add(const google::protobuf::Message& message, const std::string& name, Row row);
  void End();

 private:
  const Output* const output_;
  const std::vector<std::string> expendable_;
  std::vector<Row> rows_;
  bool any_ = false;
};

}  // namespace mentor::ctl
