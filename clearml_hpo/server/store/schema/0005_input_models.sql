-- Whether a model is the input of a task is asked for each model of a task that goes: only tasks that have any are looked at.
CREATE INDEX tasks_with_input_models ON tasks (id) WHERE json_array_length(models, '$.input') > 0;
