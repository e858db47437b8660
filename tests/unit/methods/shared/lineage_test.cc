// Rows that are appended to what others already hold.
#include "methods/shared/lineage.h"

#include <vector>

#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

void Append(Lineage* lineage, int64_t first, int64_t last) {
  for (int64_t i = first; i < last; ++i) {
    const double number = static_cast<double>(i);
    lineage->Append(std::vector<double>{number, -number});
  }
}

// Rows first .. last - 1 of those above.
Tensor Rows(int64_t first, int64_t last) {
  const Tensor numbers = torch::arange(first, last, torch::kFloat64);
  return torch::stack({numbers, -numbers}, 1);
}

TEST_CASE("lineage: what was taken stays as it was, whatever is appended", "[unit]") {
  Lineage lineage(2);
  std::vector<Tensor> taken;
  for (int64_t i = 0; i < 100; ++i) {
    taken.push_back(lineage.rows());
    Append(&lineage, i, i + 1);
  }
  for (int64_t i = 0; i < 100; ++i) {
    INFO(i);
    CHECK(torch::equal(taken[static_cast<size_t>(i)], Rows(0, i)));
  }
}

TEST_CASE("lineage: an append shares the rows before it", "[unit]") {
  Lineage lineage(2);
  Append(&lineage, 0, 100'000);
  int64_t copies = 0;
  const void* before = lineage.rows().const_data_ptr();
  for (int64_t i = 100'000; i < 200'000; ++i) {
    Append(&lineage, i, i + 1);
    const void* now = lineage.rows().const_data_ptr();
    copies += now != before ? 1 : 0;
    before = now;
  }
  CHECK(copies == 1);  // At 131072 rows.
  CHECK(torch::equal(lineage.rows(), Rows(0, 200'000)));
}

TEST_CASE("lineage: the oldest rows leave where there may be no more", "[unit]") {
  Lineage lineage(2, /*rows_max=*/40);
  std::vector<Tensor> taken;
  int64_t copies = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    Append(&lineage, i, i + 1);
    taken.push_back(lineage.rows());
    if (i > 0 && taken[taken.size() - 2].storage().data() != taken.back().storage().data())
      ++copies;
    // A quarter more than may stay.
    CHECK(lineage.rows().storage().nbytes() <= 51 * 2 * sizeof(double));
  }
  for (int64_t i = 0; i < 1000; ++i) {
    INFO(i);
    CHECK(torch::equal(taken[static_cast<size_t>(i)], Rows(std::max<int64_t>(0, i - 39), i + 1)));
  }
  CHECK(copies >= 960 / 12);
  CHECK(copies <= 1000 / 10);
}

TEST_CASE("lineage: a state is read, its newest rows where there are too many", "[unit]") {
  const TensorMap state = {{"rows", Rows(0, 100)},
                           {"narrow", Rows(0, 100).narrow(1, 0, 1)},
                           {"floats", Rows(0, 100).to(torch::kFloat32)},
                           {"infinite", Rows(0, 100) / 0}};
  auto read = Lineage::Read(state, "rows", 2);
  REQUIRE(read.ok());
  CHECK(torch::equal(read->rows(), Rows(0, 100)));
  Append(&*read, 100, 200);
  CHECK(torch::equal(read->rows(), Rows(0, 200)));
  CHECK(torch::equal(state.at("rows"), Rows(0, 100)));

  auto newest = Lineage::Read(state, "rows", 2, /*rows_max=*/30);
  REQUIRE(newest.ok());
  CHECK(torch::equal(newest->rows(), Rows(70, 100)));
  Append(&*newest, 100, 110);
  CHECK(torch::equal(newest->rows(), Rows(80, 110)));
  for (const char* bad : {"none", "narrow", "floats", "infinite"}) {
    INFO(bad);
    CHECK(absl::IsDataLoss(Lineage::Read(state, bad, 2).status()));
  }
}

}  // namespace mentor::methods::TEST_FILE
