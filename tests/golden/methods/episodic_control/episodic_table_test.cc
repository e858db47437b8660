// Tables, lookups and targets of episodic control against golden/mfec.json, nec_lookup.json,
// nec_write.json and nec_targets.json, in float64.
#include "methods/episodic_control/episodic_table.h"

#include <torch/csrc/autograd/autograd.h>

#include "tests/golden.h"

namespace mentor::methods::TEST_FILE {

using namespace mentor::testing;
using torch::Tensor;

std::span<const double> Numbers(const Tensor& x) {
  return {x.const_data_ptr<double>(), static_cast<size_t>(x.numel())};
}

// Row i of x [n, width].
std::span<const double> Row(const Tensor& x, int64_t i) {
  const auto width = static_cast<size_t>(x.size(1));
  return Numbers(x).subspan(static_cast<size_t>(i) * width, width);
}

v1::EpisodicSizes Sizes(int neighbours, v1::LookupKernel kernel, double delta = 0) {
  v1::EpisodicSizes sizes;
  sizes.set_neighbours(static_cast<uint32_t>(neighbours));
  sizes.set_kernel(kernel);
  sizes.set_delta(delta);
  return sizes;
}

void CheckTable(const EpisodicTable<double>& table, const Tensor& keys, const Tensor& values,
                const Tensor& times, Tolerance tolerance) {
  const int64_t n = table.size();
  const auto tensor = [&](std::span<const double> numbers) {
    return torch::from_blob(const_cast<double*>(numbers.data()),
                            {static_cast<int64_t>(numbers.size())}, torch::kFloat64)
        .clone();
  };
  REQUIRE(n == values.numel());
  CheckNear("keys", tensor(table.rows().keys).reshape({n, -1}), keys, tolerance);
  CheckNear("values", tensor(table.rows().values), values, tolerance);
  Tensor written = torch::empty({n}, torch::kFloat64);
  for (int64_t i = 0; i < n; ++i)
    written[i] = static_cast<double>(table.times()[static_cast<size_t>(i)]);
  CheckNear("times of the last write", written, times, {});
}

TEST_CASE("golden: MFEC keeps the best return of each key and averages the nearest", "[golden]") {
  const Json file = ReadGolden("mfec");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const int64_t actions = test.at("actions");
    const Tensor queries = ToTensor(test.at("queries")), want = ToTensor(test.at("q"));
    std::vector<EpisodicTable<double>> tables;
    for (int64_t a = 0; a < actions; ++a)
      tables.emplace_back(test.at("capacity").get<int64_t>(), queries.size(1), /*name_size=*/0);
    int64_t clock = 0;
    for (const Json& episode : test.at("episodes")) {
      const Tensor keys = ToTensor(episode.at("keys")), taken = ToTensor(episode.at("actions")),
                   rewards = ToTensor(episode.at("rewards"));
      const std::vector<double> returns = EpisodeReturns(Numbers(rewards), test.at("gamma"));
      for (int64_t t = rewards.numel(); t-- > 0;) {
        tables[static_cast<size_t>(taken[t].item<double>())].Write(
            {}, Row(keys, t), returns[static_cast<size_t>(t)], ++clock,
            [](double stored, double written) { return std::max(stored, written); });
      }
    }
    Lookup<double> lookup(Sizes(test.at("k"), v1::LOOKUP_KERNEL_MEAN));
    Tensor q = torch::empty_like(want);
    for (int64_t i = 0; i < queries.size(0); ++i) {
      for (int64_t a = 0; a < actions; ++a)
        q[i][a] = lookup.Value(tables[static_cast<size_t>(a)].rows(), Row(queries, i));
    }
    CheckNear("q", q, want, GoldenTolerance(file));
    for (size_t a = 0; a < tables.size(); ++a) {
      INFO("action " << a);
      CheckTable(tables[a], ToTensor(test.at("table_keys")[a]),
                 ToTensor(test.at("table_values")[a]), ToTensor(test.at("table_used")[a]),
                 GoldenTolerance(file));
    }
  }
}

TEST_CASE("golden: NEC's lookup and its gradients in query and keys and values", "[golden]") {
  const Json file = ReadGolden("nec_lookup");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const double delta = test.at("delta");
    const Tensor keys = ToTensor(test.at("keys")).requires_grad_(),
                 values = ToTensor(test.at("values")).requires_grad_(),
                 query = ToTensor(test.at("query")).requires_grad_(),
                 neighbours = ToTensor(test.at("neighbours"), torch::kInt64);
    Lookup<double> lookup(Sizes(test.at("p"), v1::LOOKUP_KERNEL_INVERSE, delta));
    const StoredRows<double> rows{Numbers(keys), Numbers(values)};
    const auto nearest = lookup.Nearest(rows, Numbers(query));
    REQUIRE(static_cast<int64_t>(nearest.size()) == neighbours.numel());
    for (int64_t i = 0; i < neighbours.numel(); ++i)
      CHECK(nearest[static_cast<size_t>(i)].row == neighbours[i].item<int64_t>());
    const Tensor want = ToTensor(test.at("q")).reshape({1});
    CheckNear("q", torch::full({1}, lookup.Value(rows, Numbers(query)), torch::kFloat64), want,
              GoldenTolerance(file));

    const Tensor q =
        NeighbourValues(query.unsqueeze(0), keys.index_select(0, neighbours).unsqueeze(0),
                        values.index_select(0, neighbours).unsqueeze(0),
                        torch::ones({1, neighbours.numel()}, torch::kFloat64), delta);
    CheckNear("differentiable q", q, want, GoldenTolerance(file));
    const auto gradients = torch::autograd::grad({q}, {query, keys, values});
    CheckNear("gradient of the query", gradients[0], ToTensor(test.at("grad_query")),
              GoldenTolerance(file));
    CheckNear("gradient of the keys", gradients[1], ToTensor(test.at("grad_keys")),
              GoldenTolerance(file));
    CheckNear("gradient of the values", gradients[2], ToTensor(test.at("grad_values")),
              GoldenTolerance(file));
  }
}

TEST_CASE("golden: NEC's writes move values towards targets and fill the table", "[golden]") {
  const Json file = ReadGolden("nec_write");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const double alpha = test.at("alpha");
    const Tensor keys = ToTensor(test.at("write_keys")), targets = ToTensor(test.at("targets"));
    EpisodicTable<double> table(test.at("capacity").get<int64_t>(), keys.size(1), /*name_size=*/0);
    for (int64_t t = 0; t < targets.numel(); ++t) {
      table.Write(
          {}, Row(keys, t), targets[t].item<double>(), t,
          [&](double stored, double written) { return stored + alpha * (written - stored); });
    }
    CheckTable(table, ToTensor(test.at("keys_after")), ToTensor(test.at("values_after")),
               ToTensor(test.at("last_used_after")), GoldenTolerance(file));
  }
}

TEST_CASE("golden: NEC's n-step targets of episodes that ended and that were cut", "[golden]") {
  const Json file = ReadGolden("nec_targets");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const Tensor rewards = ToTensor(test.at("rewards")), greatest = ToTensor(test.at("max_q"));
    const int64_t steps = rewards.numel();
    REQUIRE(greatest.numel() == steps + 1);
    const double last = test.at("terminal").get<bool>() ? 0 : greatest[steps].item<double>();
    const std::vector<double> targets =
        NStepTargets(Numbers(rewards), Numbers(greatest).first(static_cast<size_t>(steps)), last,
                     test.at("n"), test.at("gamma"));
    CheckNear("targets", torch::tensor(targets, torch::kFloat64), ToTensor(test.at("targets")),
              GoldenTolerance(file));
  }
}

}  // namespace mentor::methods::TEST_FILE
