// mentorctl: the user's command line for a meta-learner. It keeps no state; every answer comes from
// the server.
#include "cli/ctl/commands.h"
#include "common/lifecycle.h"

int main(int argc, char** argv) {
  mentor::ExplainLimits();
  mentor::EndMain(mentor::ctl::Main(argc, argv));
}
