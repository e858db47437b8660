#include "cli/local/claims.h"

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>

#include "cli/local/claim_results.h"
#include "cli/local/claim_verdict.h"
#include "common/bundle_finder.h"
#include "common/file.h"
#include "common/safetensors.h"
#include "common/spec/named_bundles.h"
#include "meta_learner/experiment/arithmetic.h"
#include "tests/temp_folder.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

const std::string kHeader =
    "claim,run,row,command,measures,version,processor,fingerprint,cpu_seconds,env_steps,hash,"
    "evaluation,metrics,numbers\n";
const std::string kHash(64, 'a'), kEvaluation(64, '0');
const std::string kRow =
    "reach,1,1,mentor run point_reach --set seed=1,,0.2.0,\"A, B\","
    "aaaaaaaaaaaa/bbbbbbbbbbbb/cccccccccccc,12,1000," +
    kHash + "," + kEvaluation + ",,\"test.learned.seg2=0.5[0.4,0.6] x@last:2=-3\"\n";

std::string ErrorOf(const std::string& text) {
  return std::string(ParseClaims(text, "c.csv").status().message());
}

ClaimRow Row() {
  const auto rows = ParseClaims(kHeader + kRow, "c.csv");
  REQUIRE(rows.ok());
  REQUIRE(rows->size() == 1);
  return (*rows)[0];
}

bool Says(const ClaimVerdict& verdict, const std::string& words) {
  for (const std::string& sentence : verdict.sentences) {
    if (sentence.find(words) != sentence.npos) return true;
  }
  return false;
}

TEST_CASE("claims: a file is read and written as it was", "[unit]") {
  const ClaimRow row = Row();
  CHECK(row.name() == "reach-1");
  CHECK(row.processor == "A, B");
  CHECK(row.numbers.at("test.learned.seg2").high == 0.6);
  CHECK(row.numbers.at("x@last:2").mean == -3);
  CHECK(std::isnan(row.numbers.at("x@last:2").low));
  CHECK(PrintClaims({row}) == kHeader +
                                  "reach,1,1,mentor run point_reach --set seed=1,,0.2.0,"
                                  "\"A, B\",aaaaaaaaaaaa/bbbbbbbbbbbb/cccccccccccc,12,1000," +
                                  kHash + "," + kEvaluation +
                                  ",,\"test.learned.seg2=0.5[0.4,0.6] x@last:2=-3\"\n");
}

TEST_CASE("claims: a file that is none is refused with row, column and remedy", "[unit]") {
  CHECK(ErrorOf("a,b\n1,2\n") ==
        "c.csv: has no column 'claim': is it a file of claims? If it is, add the column, empty");
  CHECK(ErrorOf(kHeader + kRow + kRow) == "c.csv:3: there are two rows of reach-1; remove one");
  CHECK(ErrorOf(kHeader + kRow + "reach-1,1,,mentor run ml1,,,,,,,,,,\n") ==
        "c.csv:3: the claim reach-1 has the name of another claim's run; rename one of the two");
  const auto with = [](const std::string& run, const std::string& numbers) {
    return kHeader + "reach," + run + ",,,,,,,,,,,," + numbers + "\n";
  };
  for (const char* run : {"0", "+1", "01", "x"}) {
    CHECK(ErrorOf(with(run, "")) == absl::StrCat("c.csv:2: column run is '", run,
                                                 "', expected a number from 1 on, or 'all'"));
  }
  CHECK(ErrorOf(with("2", "")) ==
        "c.csv:2: column run is '2', expected '1', the next run of reach; add the row that is "
        "missing");
  for (const char* cost : {"-1", "nan", "inf", "lots"}) {
    CHECK(ErrorOf(kHeader + "reach,1,,,,,,," + cost + ",,,,,\n")
              .find(absl::StrCat("c.csv:2: column cpu_seconds is '", cost, "'")) == 0);
    CHECK(ErrorOf(kHeader + "reach,1,,,,,,,," + cost + ",,,,\n")
              .find(absl::StrCat("c.csv:2: column env_steps is '", cost, "'")) == 0);
  }
  CHECK(ErrorOf(kHeader + "a/b,1,,,,,,,,,,,,\n").find("c.csv:2: column claim is 'a/b', expected") ==
        0);
  CHECK(ErrorOf(kHeader + ",1,,,,,,,,,,,,\n").find("c.csv:2: column claim is '', expected") == 0);
  for (const char* wrong : {"seg2", "seg2=", "=1", "seg2=x", "seg2=inf", "seg2=1[2]",
                            "seg2=1[0.5;2]", "seg2=1[2 3]", "a=1 a=2"}) {
    CAPTURE(wrong);
    CHECK(ErrorOf(with("1", wrong)).find("c.csv:2: column numbers has '") == 0);
  }
  CHECK(ErrorOf(with("1", "\"seg2=1[2,1]\"")).find("column numbers") != std::string::npos);
  CHECK(ErrorOf(kHeader + "reach,1,,,return@last5,,,,,,,,,\n")
            .find("c.csv:2: measure 'return@last5': expected METRIC@last:N") == 0);
  for (const std::string& hash :
       {kHash.substr(1), kHash + "a", std::string(64, 'A'), std::string(63, 'a') + "g"}) {
    CAPTURE(hash);
    CHECK(ErrorOf(kHeader + "reach,1,,,,,,,,," + hash + ",,,\n")
              .find("c.csv:2: column hash is '" + hash + "', expected all 64") == 0);
    CHECK(ErrorOf(kHeader + "reach,1,,,,,,,,,," + hash + ",,\n")
              .find("c.csv:2: column evaluation is '" + hash + "', expected all 64") == 0);
  }
}

TEST_CASE("claims: a name means a run or a claim; others get the nearest ones", "[unit]") {
  std::vector<ClaimRow> rows(3, Row());
  rows[1].run = "2";
  rows[2].run = "all";
  CHECK(*FindClaim(rows, "reach") == std::vector<size_t>{0, 1, 2});
  CHECK(*FindClaim(rows, "reach-2") == std::vector<size_t>{1});
  CHECK(std::string(FindClaim(rows, "raech-2").status().message())
            .find("there is no claim 'raech-2'; nearest: reach-2") == 0);
}

TEST_CASE("claims: a command is that of a run and nothing else", "[unit]") {
  CHECK(SpecOfCommand("mentor run point_reach --set seed=4")->seed() == 4);
  for (const char* wrong : {"", "mentor", "mentor run", "mentor evaluate runs/a",
                            "mentor run --list", "mentor run point_reach --out /etc",
                            "mentor run point_reach --set", "mentor run point_reach; ls",
                            "mentor run no_such_spec", "mentor run point_reach --set x=1"}) {
    CAPTURE(wrong);
    CHECK_FALSE(SpecOfCommand(wrong).ok());
  }
}

TEST_CASE("claims: a folder in the place of a bundle is named by its content", "[unit]") {
  const testing::TempFolder folder;
  ClaimRow row;
  row.command = "mentor run box_goals_maml --set benchmark.task_set[0].wrapper[0].bundle=" +
                folder.path().string();
  REQUIRE(WriteFileAtomically(folder.path() / "notes.txt", "no weights", 0644).ok());
  CHECK(testing::Contains(SpecOfRun(row).status(), "has no file discriminator"));
  // Two skills of positions, without hidden units that do anything.
  const auto zeros = [](const std::string& name, const std::vector<int64_t>& shape) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    return SafeTensor{.name = name, .shape = shape, .data = std::string(4 * count, 0)};
  };
  const SafeTensors file = {.tensors = {zeros("skills.W1", {1, 2}), zeros("skills.b1", {1}),
                                        zeros("skills.W2", {1, 1}), zeros("skills.b2", {1}),
                                        zeros("skills.W3", {6, 1}), zeros("skills.b3", {6})}};
  REQUIRE(
      WriteFileAtomically(folder.path() / "discriminator.safetensors", WriteSafeTensors(file), 0644)
          .ok());
  const auto spec = SpecOfRun(row);
  INFO(spec.status());
  REQUIRE(spec.ok());
  CHECK(BundlesOf(spec->spec).size() == 1);
  SetBundleFinder(nullptr);
}

TEST_CASE("claims: a metric that the runs never report is named before they run", "[unit]") {
  ClaimRow row;
  row.command = "mentor run point_reach";
  row.measures = "meta_return@last:5 seg2@first:1:0.5";
  CHECK(SpecOfRun(row).ok());
  row.measures = "meta_retrun@last:5";
  const auto spec = SpecOfRun(row);
  CHECK(spec.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(testing::Contains(spec.status(), "reports no metric 'meta_retrun'; nearest: meta_return"));
  row.command += " --set rule.outer_updates=2";
  row.measures = "meta_return@last:3";
  CHECK(testing::Contains(SpecOfRun(row).status(), "has 2 outer updates"));
}

TEST_CASE("claims: a record without its version or arithmetic excuses nothing", "[unit]") {
  ClaimRow row = Row();
  row.version = "";
  CHECK(ErrorOf(PrintClaims({row})).find("column version is ''") != std::string::npos);
  row = Row();
  for (const char* wrong : {"", "garbage", "aaaaaaaaaaaa/bbbbbbbbbbbb", "a/b/c"}) {
    CAPTURE(wrong);
    row.fingerprint = wrong;
    CHECK(ErrorOf(PrintClaims({row})).find("column fingerprint is") != std::string::npos);
  }
}

TEST_CASE("claims: every measure in the file of claims is of a metric", "[unit]") {
  const std::vector<ClaimRow> rows = ReadClaims(ClaimsFile()).value();
  CHECK(rows.size() > 100);
  for (const ClaimRow& row : rows) {
    CAPTURE(row.name());
    CHECK((row.is_pooled() || SpecOfRun(row).ok()));
  }
}

TEST_CASE("claims: rows of an earlier arithmetic are those that LibTorch computes", "[unit]") {
  const std::string here = ClaimFingerprint();
  const std::vector<ClaimRow> rows = ReadClaims(ClaimsFile()).value();
  for (const ClaimRow& row : rows) {
    CHECK(HasOldArithmetic(row) == (row.recorded() && row.fingerprint != here));
    if (row.is_pooled() || !HasOldArithmetic(row)) continue;
    CAPTURE(row.name());
    CHECK_FALSE(meta_learner::ByKernelsAlone(SpecOfRun(row).value().spec));
    CHECK(row.processor == "AMD EPYC");  // What the page of experiments says of them.
  }
}

TEST_CASE("claims: measures of meta-training", "[unit]") {
  std::vector<report::TrainingPoint> training;
  for (uint32_t update = 1; update <= 5; ++update)
    training.push_back({.outer_update = update, .metrics = {{"success", 0.2 * update}}});
  // Means of two: 0.3, 0.5, 0.7, 0.9 after updates 2 to 5.
  const auto numbers =
      MeasureTraining("success@last:2 success@first:2:0.69 success@first:2:0.95", training);
  REQUIRE(numbers.ok());
  CHECK(numbers->at("success@last:2").mean == Approx(0.9));
  CHECK(numbers->at("success@first:2:0.69").mean == 4);
  CHECK(numbers->at("success@first:2:0.95").mean == 0);
  // The first place at or above the bound, on a series that falls.
  std::vector<report::TrainingPoint> falling;
  for (const double value : {1.0, 0.75, 0.5, 0.75})
    falling.push_back({.outer_update = static_cast<uint32_t>(10 * (falling.size() + 1)),
                       .metrics = {{"success", value}}});
  const auto falls = MeasureTraining(
      "success@first:1:0.75 success@first:1:1 success@first:1:0.5 success@first:2:0.625", falling);
  REQUIRE(falls.ok());
  CHECK(falls->at("success@first:1:0.75").mean == 10);   // Not the last one above it,
  CHECK(falls->at("success@first:1:1").mean == 10);      // at the bound,
  CHECK(falls->at("success@first:1:0.5").mean == 10);    // nor the last one at it.
  CHECK(falls->at("success@first:2:0.625").mean == 20);  // A window has all its updates.
  // One that rises, falls and rises again: the first rise counts, then the last update, then none.
  std::vector<report::TrainingPoint> waves;
  for (const double value : {0.25, 0.75, 0.5, 1.0})
    waves.push_back({.outer_update = static_cast<uint32_t>(10 * (waves.size() + 1)),
                     .metrics = {{"success", value}}});
  const std::map<std::string, double> firsts = {
      {"success@first:1:0.75", 20},  {"success@first:1:0.76", 40},  {"success@first:1:1.01", 0},
      {"success@first:2:0.625", 30}, {"success@first:4:0.625", 40}, {"success@first:5:0.1", 0}};
  for (const auto& [word, update] : firsts) {
    CAPTURE(word);
    CHECK(MeasureTraining(word, waves)->at(word).mean == update);
  }
  for (const char* wrong :
       {"success", "success@last", "success@last:0", "success@mean:2", "success@first:2",
        "success@first:2:x", "other@last:2", "success@last:3000000000"}) {
    CAPTURE(wrong);
    CHECK(std::string(MeasureTraining(wrong, training).status().message()).find("measure '") == 0);
  }
  CHECK_FALSE(MeasureTraining("success@last:1", {}).ok());
  // A file of claims has no place for what is not finite.
  training.push_back({.outer_update = 6, .metrics = {{"loss", INFINITY}}});
  CHECK(MeasureTraining("success@last:2", training)->at("success@last:2").mean == Approx(1));
  for (const char* none : {"success@last:1", "loss@last:1"}) {
    CAPTURE(none);
    CHECK(MeasureTraining(none, training).status().message().find("the last 1 outer updates") !=
          std::string::npos);
  }
}

TEST_CASE("claims: equal hashes are the same bits", "[unit]") {
  const ClaimVerdict verdict = CompareClaims(Row(), Row());
  CHECK(verdict.same_bits);
  CHECK(verdict.numbers_agree);
  CHECK(verdict.sentences.size() == 1);
}

TEST_CASE("claims: a control whose teacher learns nothing is known by its metrics", "[unit]") {
  ClaimRow recorded = Row(), now = Row();
  recorded.metrics = std::string(64, 'b');
  now.metrics = std::string(64, 'c');
  ClaimVerdict verdict = CompareClaims(recorded, now);
  CHECK_FALSE(verdict.same_bits);
  CHECK_FALSE(verdict.may_differ);
  CHECK(Says(verdict, "the same hash, other metrics along the run: cccc"));
  CHECK(Says(verdict, "Mentor's bits have changed"));
  now.metrics = recorded.metrics;
  CHECK(CompareClaims(recorded, now).same_bits);
  // Records from before have no such hash.
  recorded.metrics.clear();
  CHECK(CompareClaims(recorded, now).same_bits);
}

TEST_CASE("claims: other arithmetic is named before anybody is said to have edited a number",
          "[unit]") {
  ClaimRow now = Row();
  now.fingerprint = "aaaaaaaaaaaa/bbbbbbbbbbbb/dddddddddddd";
  CHECK(CompareClaims(Row(), now).same_bits);
  now.numbers["x@last:2"].mean = -4;
  const ClaimVerdict verdict = CompareClaims(Row(), now);
  CHECK_FALSE(verdict.same_bits);
  CHECK(verdict.may_differ);
  CHECK(Says(verdict, "the same hash, other numbers"));
  CHECK(Says(verdict, "The learner (LibTorch, kernels) has another arithmetic"));
  CHECK_FALSE(Says(verdict, "edited"));
}

TEST_CASE("claims: bits, numbers alone and an old arithmetic are three outcomes", "[unit]") {
  ClaimRow now = Row();
  CHECK(CompareClaims(Row(), now).outcome() == Outcome::kBitForBit);
  // Another arithmetic is no matter where the bits are the same.
  const char* other_learner = "aaaaaaaaaaaa/bbbbbbbbbbbb/dddddddddddd";
  now.fingerprint = other_learner;
  CHECK(CompareClaims(Row(), now).outcome() == Outcome::kBitForBit);
  now.hash = "other";
  CHECK(CompareClaims(Row(), now).outcome() == Outcome::kOldArithmetic);
  now.numbers["test.learned.seg2"] = {0.62, 0.55, 0.7};
  CHECK(CompareClaims(Row(), now).outcome() == Outcome::kOldArithmetic);
  now.numbers.erase("x@last:2");
  CHECK(CompareClaims(Row(), now).outcome() == Outcome::kFailed);
  now = Row();
  now.hash = "other";
  CHECK(CompareClaims(Row(), now).outcome() == Outcome::kFailed);
  now.version = "newer";
  CHECK(CompareClaims(Row(), now).outcome() == Outcome::kNumbersOnly);
  now.fingerprint = "aaaaaaaaaaaa/dddddddddddd/cccccccccccc";
  CHECK(CompareClaims(Row(), now).outcome() == Outcome::kNumbersOnly);
}

TEST_CASE("claims: another hash of the same version and arithmetic has no excuse", "[unit]") {
  ClaimRow now = Row();
  now.hash = "other";
  const ClaimVerdict verdict = CompareClaims(Row(), now);
  CHECK_FALSE(verdict.same_bits);
  CHECK_FALSE(verdict.may_differ);
  CHECK(Says(verdict, "Mentor's bits have changed"));
}

TEST_CASE("claims: a record of another processor says which part of the fingerprint differs",
          "[unit]") {
  ClaimRow now = Row();
  now.hash = "other";
  now.fingerprint = "aaaaaaaaaaaa/dddddddddddd/cccccccccccc";
  now.numbers["test.learned.seg2"] = {0.62, 0.55, 0.7};
  ClaimVerdict verdict = CompareClaims(Row(), now);
  CHECK(verdict.may_differ);
  CHECK(verdict.numbers_agree);
  CHECK(Says(verdict, "The simulator (libm, MuJoCo) has other bits than that of the record:"));
  CHECK_FALSE(Says(verdict, "The learner"));
  CHECK(Says(verdict, "(the intervals meet)"));
  // Processors are named where they are two.
  now.processor = "C";
  CHECK(Says(CompareClaims(Row(), now), "the record (A, B; this is C): the hash may differ"));
  // Absent numbers cannot agree.
  ClaimRow silent = Row();
  silent.numbers.clear();
  CHECK_FALSE(CompareClaims(silent, now).numbers_agree);
  // Beyond what chance explains.
  now.numbers["test.learned.seg2"] = {0.9, 0.8, 1};
  verdict = CompareClaims(Row(), now);
  CHECK_FALSE(verdict.numbers_agree);
  CHECK(Says(verdict, "beyond the recorded interval, and beyond other meta-seeds"));
  // Other bits count as another meta-seed. The mean of 0.6, 0.7 and 0.9 is 0.733 and s is 0.153.
  // One more lies within 31.6 * 0.153 * sqrt(4 / 3) = 5.57 of it.
  std::vector<ClaimRow> runs(3, Row());
  runs[1].run = "2";
  runs[1].numbers["test.learned.seg2"].mean = 0.6;
  runs[2].run = "3";
  runs[2].numbers["test.learned.seg2"].mean = 0.7;
  verdict = CompareClaims(Row(), now, runs);
  CHECK(verdict.numbers_agree);
  CHECK(Says(verdict, "(one more meta-seed may have -4.84"));
  // A wild record does not widen its own range, nor does a wild result.
  ClaimRow wild = Row();
  wild.numbers["test.learned.seg2"] = {7, 6.9, 7.1};
  runs[0] = wild;
  CHECK_FALSE(CompareClaims(wild, now, runs).numbers_agree);
  runs[0] = Row();
  runs.push_back(Row());
  runs[3].run = "4";
  runs[3].numbers["test.learned.seg2"].mean = 0.65;
  CHECK(CompareClaims(Row(), now, runs).numbers_agree);
  now.numbers["test.learned.seg2"] = {4.2, 4.2, 4.2};
  CHECK_FALSE(CompareClaims(Row(), now, runs).numbers_agree);
  // One other and the result say nothing of the spread.
  now.numbers["test.learned.seg2"] = {0.9, 0.8, 1};
  runs.resize(2);
  CHECK_FALSE(CompareClaims(Row(), now, runs).numbers_agree);
}

TEST_CASE("claims: runs together may have no numbers, a run of other bits must have some",
          "[unit]") {
  ClaimRow recorded = Row(), now = Row();
  for (ClaimRow* row : {&recorded, &now}) {
    row->run = "all";
    row->numbers.clear();
  }
  CHECK(CompareClaims(recorded, now).numbers_agree);
  now.hash = "other";
  // The same arithmetic gives the same bits.
  CHECK_FALSE(CompareClaims(recorded, now).numbers_agree);
  now.version = "newer";
  const ClaimVerdict verdict = CompareClaims(recorded, now);
  CHECK(verdict.numbers_agree);
  CHECK(Says(verdict, "those of its runs are compared"));

  recorded.run = now.run = "1";
  CHECK(Says(CompareClaims(recorded, now), "No numbers are recorded"));
  CHECK_FALSE(CompareClaims(recorded, now).numbers_agree);
}

TEST_CASE("claims: numbers that moved without the bits are told", "[unit]") {
  ClaimRow now = Row();
  // The record has what pages quote, and a run has more.
  now.numbers["y"] = {1, 0, 2};
  CHECK(CompareClaims(Row(), now).numbers_agree);
  CHECK(CompareClaims(Row(), now).same_bits);
  now = Row();
  now.numbers.erase("x@last:2");
  CHECK_FALSE(CompareClaims(Row(), now).numbers_agree);
  now = Row();
  now.numbers["x@last:2"].mean = -4;
  CHECK_FALSE(CompareClaims(Row(), now).numbers_agree);
  // With equal bits the interval must be equal, too.
  now = Row();
  now.numbers["test.learned.seg2"].high = 0.61;
  const ClaimVerdict verdict = CompareClaims(Row(), now);
  CHECK_FALSE(verdict.numbers_agree);
  CHECK(Says(verdict, "how it is computed has changed"));
  now = Row();
  now.env_steps = "999";
  CHECK_FALSE(CompareClaims(Row(), now).numbers_agree);
}

TEST_CASE("claims: a signal is compared with the shaped reward and with its change inside episodes",
          "[unit]") {
  report::SignalSample sample;
  sample.shaped = {0, 1, 3, 0, 2, 3};  // Two episodes of three steps; changes 1, 2 and 2, 1.
  sample.signal = {7, 1, 2, 9, 2, 1};
  sample.episode_steps = 3;
  const Correlation pooled = Correlate({sample, sample});
  CHECK(testing::Near(pooled.change_pearson, 1, {.abs = 1e-15}));
  CHECK(testing::Near(pooled.change_spearman, 1, {.abs = 1e-15}));
  CHECK(pooled.pearson < 0);
  sample.episode_steps = 0;
  CHECK(std::isnan(Correlate({sample}).change_pearson));
}

TEST_CASE("claims: CPU seconds are those of all phases, the policy's in the rollout's", "[unit]") {
  report::TrainingPoint point;
  point.metrics = {{"rollout_seconds", 2},  {"policy_seconds", 0.5}, {"signal_seconds", 0.25},
                   {"update_seconds", 1.5}, {"outer_seconds", 0.75}, {"wall_seconds", 9}};
  CHECK(CpuSeconds({point, point}) == 9);
  CHECK(std::isnan(CpuSeconds({report::TrainingPoint()})));
}

}  // namespace mentor::TEST_FILE
