#include "cli/ctl/output.h"

#include <google/protobuf/wrappers.pb.h>

#include "common/status.h"
#include "mentor/v1/experiment.pb.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

using namespace mentor::ctl;

TEST_CASE("output: columns are as wide as their cells, ends of lines are bare", "[unit]") {
  const std::vector<Row> rows = {{"A", "B", "C"}, {"longer", "", "x"}, {"é", "y", ""}};
  CHECK(TableLines(rows, 0, false) ==
        std::vector<std::string>{"A       B  C", "longer     x", "é       y"});
  CHECK(TableLines({{"abcdef", "ghi"}}, 9, false) == std::vector<std::string>{"abcdef  …"});
  CHECK(TableLines({{"abcdef", "ghi"}}, 4, false) == std::vector<std::string>{"abc…"});
  CHECK(TableLines({{"ab", Cell("c", Style::kBad)}}, 0, true) ==
        std::vector<std::string>{"ab  \x1b[31mc\x1b[0m"});
  CHECK(TableLines({}, 0, false).empty());
}

TEST_CASE("output: widths count characters, cuts fall between them", "[unit]") {
  CHECK(Width("aé…") == 3);
  CHECK(Clip("aé…b", 3) == "aé…");
  CHECK(Clip("aéb", 3) == "aéb");
  CHECK(Clip("abc", 0).empty());
  CHECK(Printable("a\x1b[1m\x7f\nb\tc") == "a?[1m? b c");
}

TEST_CASE("output: no form shows a terminal what it would obey (D14)", "[unit]") {
  v1::Experiment experiment;
  experiment.set_name("experiments/a\u202eb");
  experiment.set_display_name("\u2066x\u2069");
  for (const std::string& text : {ToJson(experiment), JsonToYaml(ToJson(experiment)),
                                  TableLines({{experiment.name()}}, 0, false)[0]}) {
    INFO(text);
    CHECK(text.find("\u202e") == text.npos);
    CHECK(text.find("\u2066") == text.npos);
  }
  CHECK(ToJson(experiment) ==
        "{\"name\":\"experiments/a\\u202eb\",\"displayName\":\"\\u2066x\\u2069\"}");
}

TEST_CASE("output: YAML of protobuf JSON", "[unit]") {
  v1::Experiment experiment;
  experiment.set_name("experiments/a");
  experiment.set_display_name("yes: it's \"true\"");
  experiment.mutable_spec()->mutable_benchmark()->set_name("no");
  experiment.mutable_spec()->mutable_benchmark()->add_task_set()->set_environment("e");
  experiment.set_weight(3);
  experiment.set_served_env_steps(12);  // JSON has 64-bit numbers as text.
  CHECK(JsonToYaml(ToJson(experiment)) ==
        "name: experiments/a\n"
        "spec:\n"
        "  benchmark:\n"
        "    name: \"no\"\n"
        "    taskSet:\n"
        "      - environment: e\n"
        "displayName: \"yes: it's \\\"true\\\"\"\n"
        "weight: 3\n"
        "servedEnvSteps: \"12\"\n");
  CHECK(JsonToYaml("{}") == "{}\n");
  CHECK(JsonToYaml("{\"a\":[],\"b\":[1,[2,3]],\"c\":null}") ==
        "a: []\nb:\n  - 1\n  - - 2\n    - 3\nc: null\n");
  CHECK(JsonToYaml("[\"1\",\"1.5\",\"~\",\"a #b\",\" a\",\"2026-01-01\"]") ==
        "- \"1\"\n- \"1.5\"\n- \"~\"\n- \"a #b\"\n- \" a\"\n- \"2026-01-01\"\n");
}

TEST_CASE("output: every code has its exit code", "[unit]") {
  const auto code = [](absl::StatusCode status) { return ExitCodeOf(absl::Status(status, "x")); };
  CHECK(code(absl::StatusCode::kInvalidArgument) == 2);
  CHECK(code(absl::StatusCode::kOutOfRange) == 2);
  CHECK(code(absl::StatusCode::kNotFound) == 3);
  CHECK(code(absl::StatusCode::kUnauthenticated) == 4);
  CHECK(code(absl::StatusCode::kPermissionDenied) == 4);
  CHECK(code(absl::StatusCode::kAlreadyExists) == 5);
  CHECK(code(absl::StatusCode::kFailedPrecondition) == 5);
  CHECK(code(absl::StatusCode::kAborted) == 5);
  CHECK(code(absl::StatusCode::kUnavailable) == 6);
  CHECK(code(absl::StatusCode::kDeadlineExceeded) == 6);
  CHECK(code(absl::StatusCode::kResourceExhausted) == 6);
  CHECK(code(absl::StatusCode::kCancelled) == 130);
  CHECK(code(absl::StatusCode::kInternal) == 1);
  CHECK(code(absl::StatusCode::kUnimplemented) == 1);
  CHECK(ExitCodeOf(absl::OkStatus()) == 0);
}

}  // namespace mentor::TEST_FILE
