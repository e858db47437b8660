#include "cli/ctl/diagnosis.h"

#include <memory>

#include <absl/time/clock.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using namespace mentor::ctl;
using mentor::testing::Contains;
using Grade = Finding::Grade;

// A certificate signed by itself, valid from and to these seconds from now.
std::string Certificate(long from_s, long to_s) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), from_s);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), to_s);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("lab"), -1, -1, 0);
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
  PEM_write_bio_X509(bio.get(), certificate.get());
  char* text = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(length));
}

v1::Peer Make(const std::string& name, const std::string& learner = "") {
  v1::Peer peer;
  peer.set_name(name);
  peer.set_learner(learner);
  peer.set_build("1");
  peer.set_catalogue_hash("c");
  return peer;
}

// Returns "grade subject" of everything that is not good.
std::vector<std::string> Troubles(const std::vector<Finding>& findings) {
  std::vector<std::string> troubles;
  for (const Finding& finding : findings) {
    if (finding.grade == Grade::kGood) {
      CHECK(finding.advice.empty());
      continue;
    }
    CHECK(!finding.advice.empty());
    troubles.push_back((finding.grade == Grade::kBad ? "bad " : "look ") + finding.subject);
  }
  return troubles;
}

using List = std::vector<std::string>;

TEST_CASE("doctor: dates of certificates", "[unit]") {
  const absl::Time now = absl::Now();
  const long day = 86400;
  const Finding good = CheckCertificate("x", Certificate(-day, 300 * day), now);
  CHECK(good.grade == Grade::kGood);
  CHECK(Contains(good.what, "'lab' expires in 299d"));
  CHECK(CheckCertificate("x", Certificate(-day, 10 * day), now).grade == Grade::kNotice);
  const Finding expired = CheckCertificate("x", Certificate(-9 * day, -3 * day), now);
  CHECK(expired.grade == Grade::kBad);
  CHECK(Contains(expired.what, "expired 3d ago"));
  const Finding early = CheckCertificate("x", Certificate(3 * day, 9 * day), now);
  CHECK(early.grade == Grade::kBad);
  CHECK(Contains(early.advice, "clocks"));
  CHECK(CheckCertificate("x", "nothing", now).grade == Grade::kBad);
}

TEST_CASE("doctor: the fleet", "[unit]") {
  CHECK(Troubles(CheckFleet({Make("learners/l"), Make("actors/a", "learners/l")}, "1")).empty());
  CHECK(Troubles(CheckFleet({}, "1")) == List{"bad learners", "bad actors"});
  CHECK(Troubles(CheckFleet(
            {Make("learners/l"), Make("learners/m"), Make("actors/a", "learners/l")}, "1")) ==
        List{"look actors"});
  auto other = Make("actors/a", "learners/l");
  other.set_catalogue_hash("d");
  other.set_build("2");
  other.set_draining(true);
  other.mutable_round_trip()->set_seconds(1);
  CHECK(Troubles(CheckFleet({Make("learners/l"), other}, "1")) ==
        List{"look builds", "bad catalogues", "look network", "look draining"});
  CHECK(CheckFleet({Make("learners/l"), other}, "1").back().what == "actors/a takes no more work");
}

TEST_CASE("doctor: experiments that wait", "[unit]") {
  v1::Experiment experiment;
  experiment.set_name("experiments/e");
  experiment.set_state(v1::Experiment::STATE_RUNNING);
  CHECK(Troubles(CheckExperiments({experiment}, {})).empty());
  experiment.set_state(v1::Experiment::STATE_QUEUED);
  CHECK(Troubles(CheckExperiments({experiment}, {})) == List{"look queue"});
  experiment.set_state(v1::Experiment::STATE_PAUSED);
  experiment.set_pause_reason(v1::Experiment::PAUSE_REASON_DISK_FULL);
  CHECK(Troubles(CheckExperiments({experiment}, {})) == List{"bad disk"});
  experiment.set_pause_reason(v1::Experiment::PAUSE_REASON_STORAGE_QUOTA);
  CHECK(Troubles(CheckExperiments({experiment}, {})) == List{"bad quota"});
}

}  // namespace mentor::TEST_FILE
