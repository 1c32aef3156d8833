"""Engines run the units of a job: each is a function of job, attempts, workers and threads that yields events.

`here` scores in this process, `local` in processes of this machine, `ray_tasks` on a Ray cluster and `spark_tasks` on
a Spark cluster. What a unit becomes is `liteft.bulk.job.score_unit` in all of them.
"""
