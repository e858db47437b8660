// POET's rules of transfer and reproduction against golden numbers.
#include "methods/poet/poet.h"

#include "tests/golden.h"

namespace mentor::testing::TEST_FILE {

using torch::Tensor;

std::vector<int64_t> Integers(const Json& numbers) {
  std::vector<int64_t> integers;
  for (const Json& x : numbers) integers.push_back(static_cast<int64_t>(x.get<double>()));
  return integers;
}

TEST_CASE("golden: poet, one transfer and one reproduction") {
  const Json file = ReadGolden("poet_rules");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const Json& expected = test.at("expected");
    const Tensor recent = ToTensor(test.at("recent"));
    std::vector<std::vector<double>> scores;
    for (int64_t m = 0; m < recent.size(0); ++m) {
      const Tensor row = recent[m].contiguous();
      scores.emplace_back(row.const_data_ptr<double>(), row.const_data_ptr<double>() + row.numel());
    }
    const auto transfers =
        methods::ChooseTransfers(ToTensor(test.at("own")), scores, ToTensor(test.at("direct")),
                                 ToTensor(test.at("proposal")));
    CHECK(transfers.source == Integers(expected.at("transfer_source")));
    const auto proposals = Integers(expected.at("transfer_is_proposal"));
    for (size_t m = 0; m < proposals.size(); ++m)
      CHECK(transfers.is_proposal[m] == (proposals[m] == 1));

    const Tensor children = ToTensor(test.at("children"));
    const double low = test.at("mc_low"), high = test.at("mc_high");
    const Tensor novelty =
        methods::Novelty(children, ToTensor(test.at("archive")), /*neighbours=*/5);
    CheckNear("novelty", novelty, ToTensor(expected.at("novelty")), GoldenTolerance(file));
    const auto passed =
        methods::PassedChildren(children, ToTensor(test.at("environments")),
                                ToTensor(test.at("child_scores_of_parent")), low, high);
    CHECK(passed == Integers(expected.at("passed")));
    const auto order = methods::ByNovelty(passed, novelty);
    CHECK(order == Integers(expected.at("order")));
    const auto admitted =
        methods::Admitted(order, ToTensor(test.at("child_best_scores")), low, high, /*admit=*/1);
    const auto want = static_cast<int64_t>(expected.at("admitted").get<double>());
    CHECK(admitted == (want < 0 ? std::vector<int64_t>{} : std::vector<int64_t>{want}));
    // The front of the list leaves.
    const int64_t active = test.at("active").get<int64_t>() + static_cast<int64_t>(admitted.size());
    std::vector<int64_t> removed;
    for (int64_t m = 0; m < active - test.at("max_active").get<int64_t>(); ++m)
      removed.push_back(m);
    CHECK(removed == Integers(expected.at("removed")));
  }
}

}  // namespace mentor::testing::TEST_FILE
