"""The answer's numbers: every one is a linear contrast of cell means with one error model. Imports no torch.

`resampling` draws clusters of test examples, `clusters` sums a run's statistics by cluster, `replicates` scores every
run of a target on every draw. `evidence` joins them with the tidy scores. `contrast` is the algebra of means,
`quantities` what the paper asks (gain, interaction, averages), `declaration` what it asks first. `seeds` and
`estimate` give a contrast its interval and p; `families` decides what is marked; `generality` and `scales` say how
far it carries; `power` what could be seen at all; `results` puts everything in one table, `headline` what the answer
rests on; `jobs` is what a workflow runs.
"""
