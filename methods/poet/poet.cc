#include "methods/poet/poet.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/rng.h"
#include "methods/shared/evolution_strategies.h"

namespace mentor::methods {

using torch::Tensor;

namespace {

constexpr size_t kRecent = 5;

Tensor Doubles(const Tensor& x) {
  return x.to(torch::kFloat64).contiguous();
}

bool Within(double score, double low, double high) {
  return score >= low && score <= high;
}

}  // namespace

Transfers ChooseTransfers(const Tensor& own, const std::vector<std::vector<double>>& recent,
                          const Tensor& direct, const Tensor& proposal) {
  const int64_t n = own.numel();
  const Tensor scores = Doubles(own);
  const double* of = scores.const_data_ptr<double>();
  Transfers transfers{.source = std::vector<int64_t>(static_cast<size_t>(n), -1),
                      .is_proposal = std::vector<bool>(static_cast<size_t>(n), false)};
  for (int64_t m = 0; m < n; ++m) {
    double best = of[m];
    for (const double score : recent[static_cast<size_t>(m)]) best = std::max(best, score);
    for (const Tensor& candidates : {direct, proposal}) {
      if (!candidates.defined()) continue;
      const Tensor row = Doubles(candidates[m]);
      for (int64_t j = 0; j < n; ++j) {
        const double score = row.const_data_ptr<double>()[j];
        if (j == m || !(score > best)) continue;
        best = score;
        transfers.source[static_cast<size_t>(m)] = j;
        transfers.is_proposal[static_cast<size_t>(m)] = candidates.is_same(proposal);
      }
    }
  }
  return transfers;
}

Tensor Novelty(const Tensor& children, const Tensor& archive, int64_t neighbours) {
  const int64_t count = std::min(neighbours, archive.size(0));
  const Tensor distances =
      (Doubles(children).unsqueeze(1) - Doubles(archive).unsqueeze(0)).square().sum(2).sqrt();
  return std::get<0>(distances.sort(/*dim=*/1)).narrow(1, 0, count).mean(1);
}

std::vector<int64_t> PassedChildren(const Tensor& children, const Tensor& active,
                                    const Tensor& scores_of_parent, double mc_low, double mc_high) {
  std::vector<int64_t> passed;
  for (int64_t c = 0; c < children.size(0); ++c) {
    const bool known = (active == children[c]).all(1).any().item<bool>();
    if (!known && Within(scores_of_parent[c].item<double>(), mc_low, mc_high)) passed.push_back(c);
  }
  return passed;
}

std::vector<int64_t> ByNovelty(const std::vector<int64_t>& passed, const Tensor& novelty) {
  const Tensor values = Doubles(novelty);
  const double* of = values.const_data_ptr<double>();
  std::vector<int64_t> order = passed;
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return of[a] > of[b]; });
  return order;
}

std::vector<int64_t> Admitted(const std::vector<int64_t>& order, const Tensor& best_scores,
                              double mc_low, double mc_high, int64_t admit) {
  std::vector<int64_t> admitted;
  for (const int64_t child : order) {
    if (static_cast<int64_t>(admitted.size()) == admit) break;
    if (Within(best_scores[child].item<double>(), mc_low, mc_high)) admitted.push_back(child);
  }
  return admitted;
}

Poet::Poet(PoetConfig config, uint64_t seed, const Tensor& environment, const Tensor& agent)
    : config_(std::move(config)), seed_(seed), lineage_(kEventColumns + environment.numel()) {
  environments_ = Doubles(environment).unsqueeze(0).clone();
  theta_ = agent.to(torch::kFloat32).unsqueeze(0).clone();
  adam_m_ = torch::zeros_like(theta_);
  adam_v_ = torch::zeros_like(theta_);
  adam_steps_ = torch::zeros({1}, torch::kInt64);
  ids_ = torch::zeros({1}, torch::kInt64);
  next_id_ = 1;
  archive_ = environments_.clone();
  recent_.resize(1);
  Note(Event::kBorn, 0, -1, environments_[0]);
}

double Poet::sigma() const {
  return std::max(config_.least_sigma, config_.sigma * std::pow(config_.sigma_decay, update_));
}

bool Poet::transfers_now() const {
  // Where both are due, transfers follow a reproduction, so that new pairs are offered agents.
  return config_.transfer != AgentTransfer::kNone && num_active() > 1 &&
         update_ % config_.transfer_every == 0;
}

bool Poet::reproduces_now() const {
  return (update_ + 1) % config_.mutate_every == 0;
}

absl::StatusOr<Tensor> Poet::Score(const Tensor& agents, const Tensor& environments,
                                   const std::vector<Try>& tries, bool perturbed,
                                   const Scorer& scorer) {
  Round round{.trials = {},
              .perturbed = perturbed,
              .first_number = next_number_,
              .agents = agents,
              .sigma = sigma()};
  for (const Try& one : tries) {
    const Trial trial{
        .agent = one.agent, .environment = environments[one.environment], .place = one.environment};
    round.trials.insert(round.trials.end(), static_cast<size_t>(perturbed ? config_.population : 1),
                        trial);
  }
  const auto trials = static_cast<int64_t>(round.trials.size());
  MENTOR_CHECK(trials > 0);
  MENTOR_ASSIGN_OR_RETURN(const Tensor scores, scorer(round));
  MENTOR_CHECK(scores.numel() == trials);
  // Pairs of signs begin at even numbers.
  next_number_ += static_cast<uint32_t>(trials + trials % 2);
  return Doubles(scores);
}

Tensor Poet::Stepped(const Tensor& agents, const Tensor& fitness, uint32_t first, Tensor* m,
                     Tensor* v, Tensor* steps) const {
  Tensor stepped = agents.clone();
  EvolutionConfig config{.sigma = sigma(), .weight_decay = 0, .adam = config_.adam};
  config.adam.learning_rate = std::max(
      config_.least_rate, config_.adam.learning_rate * std::pow(config_.rate_decay, update_));
  const std::vector<std::string> alone(static_cast<size_t>(config_.population));
  for (int64_t b = 0; b < agents.size(0); ++b) {
    const Tensor ranks =
        CentredRanks(fitness.narrow(0, b * config_.population, config_.population), alone);
    const Tensor gradient =
        EvolutionGradient(ranks, config.sigma, seed_,
                          first + static_cast<uint32_t>(b * config_.population), agents.size(1));
    Tensor theta = stepped[b];
    if (config_.step_length) {
      const double norm = gradient.norm().item<double>();
      if (norm > 0) theta.add_((*config_.step_length / norm * gradient).to(torch::kFloat32));
      continue;
    }
    AdamState adam{(*m)[b].clone(), (*v)[b].clone(), (*steps)[b].item<int64_t>()};
    EvolutionStep(config, gradient, theta, &adam);
    (*m)[b].copy_(adam.m);
    (*v)[b].copy_(adam.v);
    (*steps)[b].fill_(adam.step);
  }
  return stepped;
}

absl::StatusOr<Poet::Report> Poet::Update(const Scorer& scorer) {
  std::vector<Try> pairs;
  for (int64_t m = 0; m < num_active(); ++m) pairs.push_back({.agent = m, .environment = m});
  const uint32_t first = next_number_;
  MENTOR_ASSIGN_OR_RETURN(const Tensor fitness,
                          Score(theta_, environments_, pairs, /*perturbed=*/true, scorer));
  theta_ = Stepped(theta_, fitness, first, &adam_m_, &adam_v_, &adam_steps_);
  Report report;
  MENTOR_ASSIGN_OR_RETURN(report.scores,
                          Score(theta_, environments_, pairs, /*perturbed=*/false, scorer));
  if (transfers_now()) MENTOR_RETURN_IF_ERROR(Transfer(scorer, &report));
  KeepScores(report.scores);
  if (reproduces_now()) MENTOR_RETURN_IF_ERROR(Reproduce(scorer, &report));
  ++update_;
  return report;
}

absl::StatusOr<Poet::Offers> Poet::Offer(std::vector<Try> pairs, const Tensor& environments,
                                         bool direct, const Scorer& scorer) {
  Offers offers;
  offers.pairs = std::move(pairs);
  if (direct) {
    MENTOR_ASSIGN_OR_RETURN(offers.direct,
                            Score(theta_, environments, offers.pairs, /*perturbed=*/false, scorer));
  }
  std::vector<int64_t> rows;
  std::vector<Try> tries;
  for (const Try& pair : offers.pairs) {
    rows.push_back(pair.agent);
    tries.push_back({.agent = static_cast<int64_t>(tries.size()), .environment = pair.environment});
  }
  const Tensor agents = theta_.index_select(0, torch::tensor(rows));
  Tensor m = torch::zeros_like(agents), v = torch::zeros_like(agents),
         steps = torch::zeros({agents.size(0)}, torch::kInt64);
  const uint32_t first = next_number_;
  MENTOR_ASSIGN_OR_RETURN(const Tensor fitness,
                          Score(agents, environments, tries, /*perturbed=*/true, scorer));
  offers.stepped = Stepped(agents, fitness, first, &m, &v, &steps);
  MENTOR_ASSIGN_OR_RETURN(offers.proposals,
                          Score(offers.stepped, environments, tries, /*perturbed=*/false, scorer));
  return offers;
}

void Poet::KeepScores(const Tensor& scores) {
  for (int64_t m = 0; m < num_active(); ++m) {
    std::vector<double>& recent = recent_[static_cast<size_t>(m)];
    recent.push_back(scores[m].item<double>());
    if (recent.size() > kRecent) recent.erase(recent.begin());
  }
}

absl::Status Poet::Transfer(const Scorer& scorer, Report* report) {
  const int64_t n = num_active();
  std::vector<Try> pairs;
  for (int64_t m = 0; m < n; ++m) {
    for (int64_t j = 0; j < n; ++j) {
      if (j != m) pairs.push_back({.agent = j, .environment = m});
    }
  }
  const bool takes_direct = config_.transfer == AgentTransfer::kBoth;
  MENTOR_ASSIGN_OR_RETURN(const Offers offers,
                          Offer(std::move(pairs), environments_, takes_direct, scorer));
  const double none = -std::numeric_limits<double>::infinity();
  Tensor proposal = torch::full({n, n}, none, torch::kFloat64),
         direct = takes_direct ? torch::full({n, n}, none, torch::kFloat64) : Tensor();
  for (size_t i = 0; i < offers.pairs.size(); ++i) {
    const auto [j, m] = offers.pairs[i];
    const auto place = static_cast<int64_t>(i);
    proposal[m][j] = offers.proposals[place];
    if (takes_direct) direct[m][j] = offers.direct[place];
  }
  const Transfers chosen = ChooseTransfers(report->scores, recent_, direct, proposal);
  const Tensor before = theta_.clone();
  for (size_t i = 0; i < offers.pairs.size(); ++i) {
    const auto [j, m] = offers.pairs[i];
    if (chosen.source[static_cast<size_t>(m)] != j) continue;
    const bool is_proposal = chosen.is_proposal[static_cast<size_t>(m)];
    theta_[m].copy_(is_proposal ? offers.stepped[static_cast<int64_t>(i)] : before[j]);
    adam_m_[m].zero_();
    adam_v_[m].zero_();
    adam_steps_[m].zero_();
    ++report->transfers;
    Note(is_proposal ? Event::kProposal : Event::kDirect, ids_[m].item<int64_t>(),
         ids_[j].item<int64_t>(), environments_[m]);
  }
  return absl::OkStatus();
}

absl::Status Poet::Reproduce(const Scorer& scorer, Report* report) {
  const std::optional<Children> children = MakeChildren(report->scores);
  if (!children) return absl::OkStatus();
  std::vector<Try> tries;
  for (const int64_t parent : children->parents) {
    tries.push_back({.agent = parent, .environment = static_cast<int64_t>(tries.size())});
  }
  MENTOR_ASSIGN_OR_RETURN(const Tensor scores, Score(theta_, children->environments, tries,
                                                     /*perturbed=*/false, scorer));
  const std::vector<int64_t> passed = PassedChildren(children->environments, environments_, scores,
                                                     config_.mc_low, config_.mc_high);
  if (passed.empty()) return absl::OkStatus();
  if (config_.transfer == AgentTransfer::kNone) {
    Admit(*children, passed, {.pairs = tries, .direct = scores, .stepped = {}, .proposals = {}},
          report);
    return absl::OkStatus();
  }
  std::vector<Try> pairs;
  for (const int64_t child : passed) {
    for (int64_t j = 0; j < num_active(); ++j) pairs.push_back({.agent = j, .environment = child});
  }
  MENTOR_ASSIGN_OR_RETURN(const Offers offers,
                          Offer(std::move(pairs), children->environments, /*direct=*/true, scorer));
  Admit(*children, passed, offers, report);
  return absl::OkStatus();
}

std::optional<Poet::Children> Poet::MakeChildren(const Tensor& scores) const {
  std::vector<int64_t> eligible;
  for (int64_t m = 0; m < num_active(); ++m) {
    if (scores[m].item<double>() >= config_.reproduce) eligible.push_back(m);
  }
  if (eligible.empty()) return std::nullopt;
  const RandomStream chance{.seed = seed_, .purpose = Purpose::kPopulation, .lifetime = update_};
  const int64_t k = environments_.size(1);
  Children children{.environments = torch::empty({config_.children, k}, torch::kFloat64),
                    .parents = {}};
  for (int64_t c = 0; c < config_.children; ++c) {
    const auto step = static_cast<uint32_t>(c);
    children.parents.push_back(eligible[chance.Below(eligible.size(), step, /*draw=*/0)]);
    Tensor moves = torch::empty({k}, torch::kFloat64);
    for (int64_t i = 0; i < k; ++i)
      moves[i] = 2 * chance.Uniform(step, static_cast<uint32_t>(1 + i)) - 1;
    const Tensor moved = environments_[children.parents.back()] +
                         config_.mutation * moves * (config_.high - config_.low);
    children.environments[c] = torch::minimum(torch::maximum(moved, config_.low), config_.high);
  }
  return children;
}

void Poet::Admit(const Children& children, const std::vector<int64_t>& passed, const Offers& offers,
                 Report* report) {
  const Tensor& environments = children.environments;
  const double none = -std::numeric_limits<double>::infinity();
  Tensor best = torch::full({environments.size(0)}, none, torch::kFloat64);
  Tensor agents = torch::zeros({environments.size(0), theta_.size(1)});
  std::vector<int64_t> sources(static_cast<size_t>(environments.size(0)), -1);
  const auto consider = [&](const Tensor& scores, bool is_proposal) {
    for (size_t i = 0; i < offers.pairs.size(); ++i) {
      const auto [j, child] = offers.pairs[i];
      const double score = scores[static_cast<int64_t>(i)].item<double>();
      if (!(score > best[child].item<double>())) continue;
      best[child] = score;
      agents[child].copy_(is_proposal ? offers.stepped[static_cast<int64_t>(i)] : theta_[j]);
      sources[static_cast<size_t>(child)] = ids_[j].item<int64_t>();
    }
  };
  consider(offers.direct, /*is_proposal=*/false);
  if (offers.proposals.defined()) consider(offers.proposals, /*is_proposal=*/true);
  const Tensor novelty = Novelty(environments, archive_, config_.neighbours);
  const std::vector<int64_t> admitted = Admitted(config_.order(passed, novelty), best,
                                                 config_.mc_low, config_.mc_high, config_.admit);
  double sum = 0;
  for (const int64_t child : admitted) {
    const Tensor environment = environments[child].unsqueeze(0), agent = agents[child].unsqueeze(0);
    environments_ = torch::cat({environments_, environment});
    archive_ = torch::cat({archive_, environment});
    theta_ = torch::cat({theta_, agent});
    adam_m_ = torch::cat({adam_m_, torch::zeros_like(agent)});
    adam_v_ = torch::cat({adam_v_, torch::zeros_like(agent)});
    adam_steps_ = torch::cat({adam_steps_, torch::zeros({1}, torch::kInt64)});
    ids_ = torch::cat({ids_, torch::full({1}, next_id_, torch::kInt64)});
    recent_.emplace_back();
    Note(Event::kBorn, next_id_, sources[static_cast<size_t>(child)], environments[child]);
    ++next_id_;
    sum += novelty[child].item<double>();
  }
  report->admitted = static_cast<int64_t>(admitted.size());
  if (report->admitted > 0) report->novelty = sum / static_cast<double>(report->admitted);
  const int64_t leave = std::max<int64_t>(0, num_active() - config_.max_active);
  for (int64_t m = 0; m < leave; ++m)
    Note(Event::kDied, ids_[m].item<int64_t>(), -1, environments_[m]);
  for (Tensor* x : {&environments_, &theta_, &adam_m_, &adam_v_, &adam_steps_, &ids_})
    *x = x->narrow(0, leave, x->size(0) - leave).clone();
  recent_.erase(recent_.begin(), recent_.begin() + leave);
}

void Poet::Note(Event event, int64_t id, int64_t other, const Tensor& environment) {
  std::vector<double> row = {static_cast<double>(update_), static_cast<double>(event),
                             static_cast<double>(id), static_cast<double>(other)};
  const double* numbers = environment.const_data_ptr<double>();
  row.insert(row.end(), numbers, numbers + environment.numel());
  lineage_.Append(row);
}

std::string Poet::Table() const {
  constexpr const char* kEvents[] = {"born", "died", "direct", "proposal"};
  std::string text = "update,event,environment,source";
  for (int64_t i = 0; i < environments_.size(1); ++i) absl::StrAppendFormat(&text, ",x%d", i);
  text += "\n";
  const Tensor lineage = lineage_.rows();
  const auto rows = lineage.accessor<double, 2>();
  for (int64_t i = 0; i < rows.size(0); ++i) {
    absl::StrAppendFormat(&text, "%.0f,%s,%.0f,", rows[i][0],
                          kEvents[static_cast<size_t>(rows[i][1])], rows[i][2]);
    if (rows[i][3] >= 0) absl::StrAppendFormat(&text, "%.0f", rows[i][3]);
    for (int64_t j = kEventColumns; j < rows.size(1); ++j)
      absl::StrAppendFormat(&text, ",%.9g", rows[i][j]);
    text += "\n";
  }
  return text;
}

TensorMap Poet::Save() const {
  Tensor recent = torch::full({num_active(), static_cast<int64_t>(kRecent)}, 0, torch::kFloat64),
         counts = torch::zeros({num_active()}, torch::kInt64);
  for (int64_t m = 0; m < num_active(); ++m) {
    const std::vector<double>& own = recent_[static_cast<size_t>(m)];
    counts[m] = static_cast<int64_t>(own.size());
    for (size_t i = 0; i < own.size(); ++i) recent[m][static_cast<int64_t>(i)] = own[i];
  }
  return {{"environments", environments_.clone()},
          {"agents", theta_.clone()},
          {"adam.m", adam_m_.clone()},
          {"adam.v", adam_v_.clone()},
          {"adam.steps", adam_steps_.clone()},
          {"ids", ids_.clone()},
          {"archive", archive_.clone()},
          {"recent", recent},
          {"recent_counts", counts},
          {"lineage", lineage_.rows()},
          {"counters",
           torch::tensor({int64_t{update_}, int64_t{next_number_}, next_id_}, torch::kInt64)}};
}

absl::Status Poet::Load(const TensorMap& state) {
  const auto found = state.find("environments");
  const int64_t n = found == state.end() || found->second.dim() != 2 ? 0 : found->second.size(0);
  const int64_t k = environments_.size(1), p = theta_.size(1);
  const auto archived = state.find("archive");
  const int64_t a = archived == state.end() || archived->second.dim() != 2 ||
                            archived->second.size(0) > kArchiveMax
                        ? 0
                        : archived->second.size(0);
  if (n < 1 || n > config_.max_active) {
    return absl::DataLossError(
        "the checkpoint's tensor 'environments' of the rule is missing or has another size");
  }
  const auto read = [&](const char* name, std::vector<int64_t> shape, torch::Dtype dtype) {
    return ReadTensor(state, name, shape, dtype, "the rule");
  };
  MENTOR_ASSIGN_OR_RETURN(const Tensor environments, read("environments", {n, k}, torch::kFloat64));
  MENTOR_ASSIGN_OR_RETURN(const Tensor theta, read("agents", {n, p}, torch::kFloat32));
  MENTOR_ASSIGN_OR_RETURN(const Tensor m, read("adam.m", {n, p}, torch::kFloat32));
  MENTOR_ASSIGN_OR_RETURN(const Tensor v, read("adam.v", {n, p}, torch::kFloat32));
  MENTOR_ASSIGN_OR_RETURN(const Tensor steps, read("adam.steps", {n}, torch::kInt64));
  MENTOR_ASSIGN_OR_RETURN(const Tensor ids, read("ids", {n}, torch::kInt64));
  MENTOR_ASSIGN_OR_RETURN(const Tensor archive, read("archive", {a, k}, torch::kFloat64));
  MENTOR_ASSIGN_OR_RETURN(const Tensor recent,
                          read("recent", {n, static_cast<int64_t>(kRecent)}, torch::kFloat64));
  MENTOR_ASSIGN_OR_RETURN(const Tensor counts, read("recent_counts", {n}, torch::kInt64));
  MENTOR_ASSIGN_OR_RETURN(Lineage lineage, Lineage::Read(state, "lineage", kEventColumns + k));
  const Tensor events = lineage.rows().select(1, 1);
  MENTOR_ASSIGN_OR_RETURN(const Tensor counters, read("counters", {3}, torch::kInt64));
  const bool legal = archive.size(0) >= 1 && counts.min().item<int64_t>() >= 0 &&
                     counts.max().item<int64_t>() <= static_cast<int64_t>(kRecent) &&
                     counters.min().item<int64_t>() >= 0 &&
                     counters.narrow(0, 0, 2).max().item<int64_t>() <= UINT32_MAX &&
                     events.ge(0).logical_and(events.le(3)).all().item<bool>();
  if (!legal) return absl::DataLossError("the checkpoint's tables of the rule are damaged");
  environments_ = environments;
  theta_ = theta;
  adam_m_ = m;
  adam_v_ = v;
  adam_steps_ = steps;
  ids_ = ids;
  archive_ = archive;
  lineage_ = std::move(lineage);
  recent_.assign(static_cast<size_t>(n), {});
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < counts[i].item<int64_t>(); ++j)
      recent_[static_cast<size_t>(i)].push_back(recent[i][j].item<double>());
  }
  update_ = static_cast<uint32_t>(counters[0].item<int64_t>());
  next_number_ = static_cast<uint32_t>(counters[1].item<int64_t>());
  next_id_ = counters[2].item<int64_t>();
  return absl::OkStatus();
}

int64_t Poet::ArchiveAfter(const PoetConfig& config, int64_t updates) {
  return 1 + updates / config.mutate_every * std::min(config.admit, config.children);
}

int64_t Poet::RowsMax(const PoetConfig& config) {
  const int64_t n = config.max_active;
  return std::max({n, n * (n - 1), n * config.children});
}

int64_t Poet::TrialsMax(const PoetConfig& config) {
  return config.population * RowsMax(config);
}

}  // namespace mentor::methods
