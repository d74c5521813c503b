/** What /v1/admin answers, as far as the console shows it. */

export interface Overview {
  runs: { pending: number; generating: number; waiting: number; ended_last_hour: number; failed_last_hour: number };
  workers: number;
  gateways: number;
  commands_waiting: number;
  outbox: number | null;
  dead_letters: number;
  share: number | null;
}

export interface RunRow {
  id: string;
  thread_id: string;
  user_id: string;
  status: string;
  path: string;
  model: string;
  agent: string | null;
  created_at: string;
  ended_at: string | null;
  attempts: number;
  cost_microusd: number | null;
  error_code: string | null;
}

export interface Stopped {
  stopped: string[];
  refused: Record<string, string>;
}

export interface AnsweredAgain {
  answered: Record<string, string>;
  refused: Record<string, string>;
}

export interface UserPath {
  user_id: string;
  variant: string;
  path: string;
  reason: string;
  revision: number;
  wish: string;
  /** Null where the flag does not read wishes. */
  seen: boolean | null;
}

export interface Timeline {
  run_id: string;
  thread_id: string;
  model: string;
  path: string;
  status: string;
  whole: boolean;
  phases: Array<{ name: string; at: string; offset_ms: number; took_ms: number }>;
  attempts: Array<{ attempt: number; worker: string; started_at: string; ended_at: string | null; trace_id?: string | null }>;
  steps: Array<{ step: number; kind: string; name: string; attempt: number; started_at: string; ended_at: string | null; outcome: string; finish_reason: string | null }>;
  retractions: number;
  pieces: number;
}

export interface Workers {
  items: Array<{ name: string; kind: string; version: string; started_at: string; seen_at: string; slots: number | null; slots_in_use: number | null }>;
  warnings: string[];
}

export interface Streams {
  items: Array<{
    name: string;
    messages: number;
    bytes: number;
    limit_bytes: number | null;
    why: string;
    consumers: Array<{ name: string; pending: number; ack_pending: number; redelivered: number; lag_seconds: number | null }>;
  }>;
}

export interface DeadLetter {
  sequence: number;
  consumer: string;
  stream: string;
  subject: string;
  reason: string;
  delivered: number;
  at: string;
}

export interface Webhook {
  id: string;
  url: string;
  events: string[];
  enabled: boolean;
  /** Why it is paused, where nobody disabled it. */
  disabled_reason: string | null;
  description: string;
  /** By their last characters, the current one first; a rotated one signs `until` then. */
  secrets: Array<{ ends_with: string; until: string | null }>;
  /** Only in the answers that make one. */
  secret: string | null;
  created_at: string;
  created_by: string;
  changed_at: string;
  queue: { waiting: number; share: number; full: boolean };
}

export interface Webhooks {
  items: Webhook[];
  event_types: string[];
}

export interface Delivery {
  id: string;
  type: string;
  timestamp: string;
  status: "pending" | "retrying" | "delivered" | "dead";
  attempts: number;
  attempted_at: string | null;
  next_attempt_at: string | null;
  error: string | null;
}

export interface Replayed {
  queued: number;
  full: boolean;
  next_cursor: string | null;
}

interface Percentiles {
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

export interface PathFigures {
  runs: number;
  ended: number;
  completed: number;
  cancelled: number;
  failed: number;
  stalled: number;
  orphans: number;
  errors: Record<string, number>;
  attempts: number;
  departed: number;
  survived: number;
  survival: number | null;
  completion_rate: number | null;
  error_rate: number | null;
  first_text_ms: Percentiles;
  duration_ms: Percentiles;
  cost_microusd: number;
  cost_per_answer_microusd: number | null;
  output_tokens: number;
  database_operations_per_answer: number | null;
  runs_over_time: Array<number | null>;
  errors_over_time: Array<number | null>;
  first_text_p95_over_time: Array<number | null>;
  survival_over_time: Array<number | null>;
  database_operations_over_time: Array<number | null>;
}

export interface Rollout {
  share: number | null;
  revision: number;
  mode: "paused" | "running" | "cooling" | "done";
  since: string;
  cooling_until: string | null;
  last_good: number;
  rollbacks: number;
  reason: string;
  steps: number[];
  window_seconds: number;
  paths: Record<string, PathFigures>;
  error_difference: { low: number; high: number } | null;
  completion_difference: { low: number; high: number } | null;
  shadows: { share: number; pairs: number; ended: number; compared: number; equal: number; similarity: number | null };
  broken_promises: { gaps: number; doubles: number };
  changes: Array<{ change: string; by: string; at: string; why: string; revision: number; share: number | null }>;
}

export interface Flag {
  revision: number;
  in_force: number;
  refused: string | null;
  share: number | null;
  definition: Record<string, unknown>;
}

export interface UsageSums {
  calls: number;
  input_tokens: number;
  output_tokens: number;
  cached_tokens: number;
  reasoning_tokens: number;
  cost_microusd: number;
  unpriced_calls: number;
  estimated_calls: number;
  retried_calls: number;
  retried_cost_microusd: number;
  estimated_cost_microusd: number;
}

export interface AllUsage {
  total: UsageSums;
  items: Array<UsageSums & { day: string; model: string }>;
  users: Array<UsageSums & { user_id: string }>;
}

export interface Budgets {
  default: number | null;
  users: Record<string, number | null>;
  revision: number;
  changed_by: string;
  changed_at: string;
  why: string;
}
