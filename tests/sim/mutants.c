#include "mutants.h"

enum { ONE_IN = 4 };

Mutation mutation;

bool mutant_strikes(Mutation which) {
    static unsigned calls;
    return mutation == which && ++calls % ONE_IN == 0;
}
