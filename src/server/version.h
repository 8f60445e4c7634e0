/* Version: what the server says it is. */
#pragma once

#define VERSION_PROTOCOL "2.15.1" /* what clients, monitoring and the log see */
#define VERSION_OURS     "0.1.0"

enum { VERSION_API_LEVEL = 5 };
