#include "../unit.h"
#include "metrics.h"
#include <pthread.h>
#include <stdio.h>

static struct strbuf page;

static bool has_line(const char *line)
{
    struct strbuf needle = STRBUF_INIT;
    strbuf_reset(&page);
    strbuf_addch(&page, '\n');
    metrics_render(&page);
    strbuf_addf(&needle, "\n%s\n", line);
    bool found = strstr(page.bytes, needle.bytes);
    strbuf_release(&needle);
    if (!found)
        print_error("missing: %s\nin:%s", line, page.bytes);
    return found;
}

static void counters_and_gauges(void **state)
{
    (void)state;
    struct metric *c = metric_counter("c_total", "", "Things.");
    struct metric *g = metric_gauge("g", "", "Level.");
    assert_true(has_line("c_total 0"));
    metric_add(c, 2);
    metric_add(c, 3);
    metric_add(g, 5);
    metric_add(g, -7);
    assert_int_equal(metric_value(c), 5);
    assert_int_equal(metric_value(g), -2);
    assert_true(has_line("# HELP c_total Things.\n# TYPE c_total counter\nc_total 5"));
    assert_true(has_line("# HELP g Level.\n# TYPE g gauge\ng -2"));
    metric_set(g, INT64_MAX);
    assert_true(has_line("g 9223372036854775807"));
}

static void the_same_again(void **state)
{
    (void)state;
    char labels[] = "route=\"/a\"", copy[] = "route=\"/a\"";
    struct metric *a = metric_counter("same_total", labels, "Same.");
    assert_ptr_equal(metric_counter("same_total", copy, "Same."), a);
    assert_ptr_not_equal(metric_counter("same_total", "route=\"/b\"", "Same."), a);
    assert_ptr_not_equal(metric_counter("same_total", "", "Same."), a);
    labels[8] = 'x'; /* copied */
    assert_ptr_equal(metric_counter("same_total", copy, "Same."), a);
}

static unsigned count(const char *text, const char *needle)
{
    unsigned n = 0;
    for (; (text = strstr(text, needle)); text++)
        n++;
    return n;
}

/* Registered in turns, they stand together, with one HELP and one TYPE. */
static void grouped_by_name(void **state)
{
    (void)state;
    static const char *const labels[] = {"k=\"1\"", "k=\"2\"", "k=\"3\""};
    for (size_t i = 0; i < 3; i++) {
        metric_counter("odd_total", labels[i], "Odd.");
        metric_counter("even_total", labels[i], "Even.");
    }
    assert_true(has_line("# HELP odd_total Odd.\n# TYPE odd_total counter\n"
                         "odd_total{k=\"1\"} 0\nodd_total{k=\"2\"} 0\nodd_total{k=\"3\"} 0"));
    assert_int_equal(count(page.bytes, "# TYPE odd_total"), 1);
    assert_int_equal(count(page.bytes, "# HELP even_total"), 1);
}

static void histogram(void **state)
{
    (void)state;
    struct metric *h = metric_histogram("h_seconds", "r=\"/a\"", "Time.");
    const int64_t us[] = {0, 100, 101, 1000, 2500000, 10000000, 10000001, INT32_MAX};
    int64_t sum = 0;
    for (size_t i = 0; i < COUNT(us); i++) {
        metric_observe_us(h, us[i]);
        sum += us[i];
    }
    assert_int_equal(metric_value(h), COUNT(us));
    assert_true(has_line("# HELP h_seconds Time.\n# TYPE h_seconds histogram\n"
                         "h_seconds_bucket{r=\"/a\",le=\"0.0001\"} 2\n"
                         "h_seconds_bucket{r=\"/a\",le=\"0.00025\"} 3\n"
                         "h_seconds_bucket{r=\"/a\",le=\"0.0005\"} 3\n"
                         "h_seconds_bucket{r=\"/a\",le=\"0.001\"} 4\n"
                         "h_seconds_bucket{r=\"/a\",le=\"0.0025\"} 4"));
    assert_true(has_line("h_seconds_bucket{r=\"/a\",le=\"1\"} 4\n"
                         "h_seconds_bucket{r=\"/a\",le=\"2.5\"} 5\n"
                         "h_seconds_bucket{r=\"/a\",le=\"5\"} 5\n"
                         "h_seconds_bucket{r=\"/a\",le=\"10\"} 6\n"
                         "h_seconds_bucket{r=\"/a\",le=\"+Inf\"} 8"));
    char line[100];
    snprintf(line, sizeof(line), "h_seconds_sum{r=\"/a\"} %lld.%06lld\nh_seconds_count{r=\"/a\"} 8",
             (long long)sum / 1000000, (long long)sum % 1000000);
    assert_true(has_line(line));

    metric_histogram("bare_seconds", "", "Time.");
    assert_true(has_line("bare_seconds_bucket{le=\"+Inf\"} 0\nbare_seconds_sum 0.000000\n"
                         "bare_seconds_count 0"));
}

static double twice(void *ctx)
{
    return *(int *)ctx * 2.0;
}

static void gauge_read_when_rendered(void **state)
{
    (void)state;
    static int level = 3, other = 10;
    metric_gauge_read("read", "", "Read.", twice, &level);
    assert_true(has_line("read 6"));
    level = 4;
    assert_true(has_line("read 8"));
    metric_gauge_read("read", "", "Read.", twice, &other);
    assert_true(has_line("read 20"));
    assert_int_equal(count(page.bytes, "\nread "), 1);
}

enum { THREADS = 4, ROUNDS = 3000 };

static void *update(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        metric_add(metric_counter("shared_total", "", "Shared."), 1);
        metric_observe_us(metric_histogram("shared_seconds", "", "Shared."), i);
        if (i % 500 == 0) {
            struct strbuf out = STRBUF_INIT;
            metrics_render(&out);
            strbuf_release(&out);
        }
    }
    return unused;
}

static void updated_by_many_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, update, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(has_line("shared_total 12000"));
    assert_true(has_line("shared_seconds_count 12000"));
}

static int forget_page(void **state)
{
    (void)state;
    strbuf_release(&page);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_and_gauges),      cmocka_unit_test(the_same_again),
        cmocka_unit_test(grouped_by_name),          cmocka_unit_test(histogram),
        cmocka_unit_test(gauge_read_when_rendered), cmocka_unit_test(updated_by_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, forget_page);
}
