/* The commands of the program, one file each. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "options.h"

extern const command run_command, chat_command, info_command, tokenize_command, convert_command, quantize_command, bench_command, perplexity_command, plan_command;

#endif
