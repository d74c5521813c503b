/** Imported first: the SDK's schemas (zod) would try whether this page may evaluate text. It may not, and the attempt alone would
 * break its policy. */
(globalThis as { __zod_globalConfig?: object }).__zod_globalConfig = { jitless: true };
