#include "migration/why.h"

#include <stdarg.h>
#include <stdio.h>

int
why_set(struct why *why, int rc, const char *format, ...)
{
	char text[WHY_SIZE]; /* the arguments may be the sentence so far */
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	size_t i = 0;
	for (; text[i]; i++) {
		unsigned char c = (unsigned char)text[i];

		why->text[i] = text[i];
		if (c < ' ' || c == 0x7f)
			why->text[i] = '?';
	}
	why->text[i] = '\0';
	return rc;
}
