"""What the SDK notices by itself: figures that are shown, models that are saved."""

import joblib
import matplotlib.pyplot as plt
from clearml import Task
from sklearn.linear_model import LinearRegression

task = Task.init("contract", "frameworks")
model = LinearRegression().fit([[0], [1], [2]], [1, 3, 5])
joblib.dump(model, "model.pkl", compress=True)
plt.figure()
plt.plot([1, 2, 3], [1, 4, 9])
plt.title("squares")
plt.show()
print(">", round(float(joblib.load("model.pkl").predict([[3]])[0]), 6))
