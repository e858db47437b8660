#include "cli/local/evaluate.h"

#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using mentor::testing::Contains;

TEST_CASE("evaluate: a name is one folder below evaluations/, or refused", "[unit]") {
  for (const char* name : {"again", "test-u2", ".a", "...", "Türöffnen"})
    CHECK(EvaluationFolderName(name).value() == name);
  CHECK(EvaluationFolderName("ml1:door/train u2").value() == "ml1-door-train_u2");
  CHECK(EvaluationFolderName("../../x").value() == "..-..-x");
  for (const char* name : {"", ".", "..", "a\nb", "\t", "a\x1b[31mb", "\x7f", "\xff"}) {
    INFO(name);
    const absl::Status refused = EvaluationFolderName(name).status();
    CHECK(absl::IsInvalidArgument(refused));
    CHECK(Contains(refused, "--name: '"));
  }
}

}  // namespace mentor::TEST_FILE
